"""``python -m tomocyte``: the same as the command ``tomocyte``."""

from tomocyte.cli import main

if __name__ == "__main__":
    main()
