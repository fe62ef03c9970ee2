"""MobileNet v2: inverted residuals with linear bottlenecks, in three versions."""
