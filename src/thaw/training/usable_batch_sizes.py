"""Two sizes of a batch that BatchNorm needs: for usable statistics, and for good ones."""

# Images per device and step. In Wu & He 2018 (Group Normalization, figure 1), the error of
# BatchNorm rises slightly at 8 images and steeply below.
SMALL_BATCH = 8

# Images per device and step below which several GPUs normalise together: the error is lowest from
# 16 to 32 images, where more gain nothing (ibid.).
FEW_IMAGES = 16
