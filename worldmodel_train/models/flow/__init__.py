"""Where each pixel of a picture is in the next one."""
