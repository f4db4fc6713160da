"""What a job asks for where nobody says otherwise. Apart from `specs`, so that help loads fast."""

DEFAULT_SIZE = 224  # pixels a side
DEFAULT_LAYER = 35  # relu5_4, the article's default
DEFAULT_DOSES = (1, 2, 5, 8, 12, 16, 20, 40, 80)  # channels ablated; none is the intact network
