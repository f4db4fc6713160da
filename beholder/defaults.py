"""What a job asks for where nobody says otherwise. Apart from `specs`, so that help loads fast."""

DEFAULT_SIZE = 224  # pixels a side
DEFAULT_LAYER = 35  # relu5_4, the article's default
BUILT_IN_RATE = 0.5  # of steps on `specimens`, which is narrow: its gradients are small
DEFAULT_DOSES = (1, 2, 5, 8, 12, 16, 20, 40, 80)  # channels ablated; none is the intact network
