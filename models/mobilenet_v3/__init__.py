"""MobileNet v3 and MobileNet EdgeTPU: searched inverted residuals, in three versions."""
