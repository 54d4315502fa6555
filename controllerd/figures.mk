# What monitoring sees.
libcontrollerd_a_SOURCES += \
	controllerd/figures.c controllerd/figures.h controllerd/h_metrics.c \
	controllerd/store/store_figures.c controllerd/store/store_figures.h
