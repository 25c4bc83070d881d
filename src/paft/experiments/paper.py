"""The numbers that the paper reports (arXiv 2502.12859). Accuracies are in %, times in hours."""

TABLE_1: dict[tuple[str, str], tuple[float, float, float]] = {
    ("base", "hellaswag"): (47.36, 9.78, 0.0),
    ("base", "piqa"): (74.68, 6.24, 0.0),
    ("base", "winogrande"): (45.15, 11.78, 0.0),
    ("base", "race-middle"): (71.39, 7.33, 0.0),
    ("base", "race-high"): (67.62, 6.78, 0.0),
    ("user", "hellaswag"): (92.35, 2.78, 0.0),
    ("user", "piqa"): (77.87, 2.36, 0.0),
    ("user", "winogrande"): (78.16, 7.97, 0.0),
    ("user", "race-middle"): (79.88, 6.32, 22.0),
    ("user", "race-high"): (81.05, 4.45, 4.0),
    ("top-accuracy", "hellaswag"): (91.27, 2.79, 86.0),
    ("top-accuracy", "piqa"): (75.96, 3.89, 0.0),
    ("top-accuracy", "winogrande"): (66.77, 3.94, 0.0),
    ("top-accuracy", "race-middle"): (84.81, 4.06, 59.0),
    ("top-accuracy", "race-high"): (82.45, 3.26, 14.0),
    ("batprompt", "hellaswag"): (90.3, 1.79, 78.0),
    ("batprompt", "piqa"): (83.41, 1.74, 16.0),
    ("batprompt", "winogrande"): (69.01, 4.45, 0.0),
    ("batprompt", "race-middle"): (83.92, 5.38, 65.0),
    ("batprompt", "race-high"): (81.33, 4.21, 12.0),
    ("zopo", "hellaswag"): (92.46, 2.43, 86.0),
    ("zopo", "piqa"): (83.52, 2.23, 27.0),
    ("zopo", "winogrande"): (74.75, 3.81, 0.0),
    ("zopo", "race-middle"): (83.5, 5.05, 51.0),
    ("zopo", "race-high"): (82.36, 4.53, 35.0),
    ("paft", "hellaswag"): (93.83, 0.7, 100.0),
    ("paft", "piqa"): (89.33, 0.63, 100.0),
    ("paft", "winogrande"): (82.09, 0.81, 100.0),
    ("paft", "race-middle"): (87.26, 2.23, 94.0),
    ("paft", "race-high"): (85.17, 1.71, 73.0),
}
"""Mean, Std and Top by ``(method, task)``."""

TABLE_2: dict[tuple[str, str], float] = {
    ("base", "hellaswag"): 3.97,
    ("base", "piqa"): 1.35,
    ("base", "winogrande"): 1.72,
    ("base", "race"): 6.24,
    ("user", "hellaswag"): 6.52,
    ("user", "piqa"): 0.98,
    ("user", "winogrande"): 3.27,
    ("user", "race"): 8.23,
    ("top-accuracy", "hellaswag"): 5.75,
    ("top-accuracy", "piqa"): 1.13,
    ("top-accuracy", "winogrande"): 2.76,
    ("top-accuracy", "race"): 7.56,
    ("batprompt", "hellaswag"): 4.57,
    ("batprompt", "piqa"): 1.57,
    ("batprompt", "winogrande"): 3.14,
    ("batprompt", "race"): 7.98,
    ("zopo", "hellaswag"): 5.12,
    ("zopo", "piqa"): 0.87,
    ("zopo", "winogrande"): 3.23,
    ("zopo", "race"): 8.28,
    ("paft", "hellaswag"): 1.19,
    ("paft", "piqa"): 0.39,
    ("paft", "winogrande"): 0.45,
    ("paft", "race"): 2.08,
}
"""Hours of inference by ``(method, data set)``; RACE is a single data set in this table."""

TABLE_3: dict[tuple[int, int, str], tuple[float, float]] = {
    (1, 3, "hellaswag"): (93.58, 1.47),
    (1, 3, "piqa"): (89.33, 0.63),
    (1, 3, "winogrande"): (81.78, 1.11),
    (1, 3, "race-middle"): (86.3, 2.73),
    (1, 3, "race-high"): (84.35, 2.24),
    (2, 3, "hellaswag"): (93.59, 1.24),
    (2, 3, "piqa"): (88.37, 0.49),
    (2, 3, "winogrande"): (82.09, 0.81),
    (2, 3, "race-middle"): (86.3, 2.64),
    (2, 3, "race-high"): (84.02, 2.24),
    (4, 3, "hellaswag"): (93.83, 1.1),
    (4, 3, "piqa"): (89.07, 0.53),
    (4, 3, "winogrande"): (81.96, 1.15),
    (4, 3, "race-middle"): (87.26, 2.23),
    (4, 3, "race-high"): (85.17, 1.71),
    (8, 3, "hellaswag"): (93.83, 0.7),
    (8, 3, "piqa"): (88.99, 0.59),
    (8, 3, "winogrande"): (82.69, 0.97),
    (8, 3, "race-middle"): (86.25, 2.75),
    (8, 3, "race-high"): (84.36, 2.06),
    (1, 6, "hellaswag"): (93.37, 1.47),
    (1, 6, "piqa"): (88.32, 0.68),
    (1, 6, "winogrande"): (81.05, 3.44),
    (1, 6, "race-middle"): (84.4, 2.3),
    (1, 6, "race-high"): (83.34, 1.66),
}
"""Mean and Std by ``(K, T, task)``."""

TABLE_6: dict[tuple[str, str], float] = {
    ("user", "hellaswag"): 3.01,
    ("user", "piqa"): 2.35,
    ("user", "winogrande"): 3.27,
    ("user", "race"): 3.95,
    ("top-accuracy", "hellaswag"): 3.0,
    ("top-accuracy", "piqa"): 2.29,
    ("top-accuracy", "winogrande"): 2.98,
    ("top-accuracy", "race"): 3.93,
    ("batprompt", "hellaswag"): 3.02,
    ("batprompt", "piqa"): 2.23,
    ("batprompt", "winogrande"): 3.0,
    ("batprompt", "race"): 3.93,
    ("zopo", "hellaswag"): 2.97,
    ("zopo", "piqa"): 2.3,
    ("zopo", "winogrande"): 2.97,
    ("zopo", "race"): 3.83,
    ("paft", "hellaswag"): 2.98,
    ("paft", "piqa"): 2.32,
    ("paft", "winogrande"): 3.38,
    ("paft", "race"): 3.81,
}
"""Hours of training by ``(method, data set)``."""

TABLE_7 = {"hellaswag": 11700, "piqa": 12100, "winogrande": 10900, "race": 12300}
"""The number of tokens spent on generating all prompts of a data set."""


def data_set(task: str) -> str:
    """Return the name of a task's data set in tables 2, 6 and 7."""
    return "race" if task.startswith("race-") else task
