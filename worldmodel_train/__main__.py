"""`python -m worldmodel_train`, which is how torchrun starts `wmt`."""

from worldmodel_train.cli import main

if __name__ == "__main__":
    main()
