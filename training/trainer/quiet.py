"""What the libraries print for their own developers stays out of the log."""

import warnings

import datasets
import transformers


def hush_libraries() -> None:
    """No progress bars, no deprecation notes; errors are still said."""
    warnings.simplefilter("ignore", FutureWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
