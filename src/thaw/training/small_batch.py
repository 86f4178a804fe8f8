"""The size of a batch below which its statistics are too noisy for BatchNorm."""

# Images per device and step. In Wu & He 2018 (Group Normalization, figure 1), the error of
# BatchNorm rises slightly at 8 images and steeply below.
SMALL_BATCH = 8
