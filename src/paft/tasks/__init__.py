"""What is asked: built-in tasks, and tasks from files or the hub."""
