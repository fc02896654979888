"""The progress of a search: trials that have ended, time that is left, the best so far."""

from keras_hypernet.experiments.progress import ExperimentProgress


class SearchProgress(ExperimentProgress):
    """Shows on standard error how far a search is: live on a terminal, elsewhere a line for each trial.

    Args:
        name: What is searched for.
        total: Number of trials.
        rows: Rows of those that have ended already.
        objective: Name of what is minimized.
        visible: Whether to show anything.

    Example:

    >>> progress = SearchProgress("rotation_mnist", 3, [], "validation_error", visible=False)
    >>> with progress:
    ...     progress.add({"method": "hyper", "depth": 5, "status": "finished", "validation_error": 0.0571})
    ...     progress.add({"method": "hyper", "depth": 9, "status": "diverged", "validation_error": None})
    >>> progress.summary()
    'best validation_error 0.0571 (hyper, depth 5); 1 diverged'
    """

    noun = "trials"

    def __init__(self, name, total, rows, objective, visible=True):
        self.objective = objective
        super().__init__(name, total, rows, visible)

    def summary(self):
        """The best trial, and how many have no result."""
        finished = [row for row in self.rows if row["status"] == "finished"]
        parts = []
        if finished:
            best = min(finished, key=lambda row: row[self.objective])
            value = f"{best[self.objective]:.4g}"
            parts.append(f"best {self.objective} {value} ({best['method']}, depth {best['depth']})")
        for status in ("diverged", "failed"):
            number = sum(row["status"] == status for row in self.rows)
            parts += [f"{number} {status}"] if number else []
        return "; ".join(parts)
