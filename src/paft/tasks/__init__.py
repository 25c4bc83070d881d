"""What is asked: built-in tasks, tasks from files or the hub, answer parsing."""
