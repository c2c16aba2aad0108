"""Which build of torch is installed: CPU unless the user asks for CUDA."""

from stage import Log, StageError

VERSION = "2.13.0"
UV = "0.13.9"  # knows where torch keeps its CPU builds
CHOICES = ("cpu", "cuda")


def install(choice: str, python: str, log: Log) -> None:
    """Installs torch into the environment of `python`.

    Args:
        choice: "cpu" or "cuda".
        python: the environment's interpreter.
        log: takes the output of the installers.

    Raises:
        StageError: no wanted build could be had.
    """
    pip = [python, "-m", "pip", "install"]
    if choice == "cuda":
        log.call([*pip, f"torch=={VERSION}"])
        return
    if log.attempt([*pip, "--no-deps", f"torch=={VERSION}+cpu"]):
        return
    if log.attempt([*pip, "--no-deps", f"uv=={UV}"]) and log.attempt(
        [
            python,
            "-m",
            "uv",
            "pip",
            "install",
            "--python",
            python,
            "--no-deps",
            "--torch-backend=cpu",
            f"torch=={VERSION}",
        ]
    ):
        return
    raise StageError(
        f"no CPU build of torch {VERSION} found by pip or uv ({log.last_line()}); add an index that offers "
        f"torch {VERSION}+cpu to pip's configuration, or set TORCH=cuda (several GB)"
    )
