"""`python -m videogen` is the `videogen` command."""

from videogen.cli.app import main

if __name__ == "__main__":
    main()
