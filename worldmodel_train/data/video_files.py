"""What counts as a video file: packing takes nothing that training cannot read."""

VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts"),
        *(".mpg", ".mpeg", ".ogv", ".flv", ".wmv", ".3gp", ".gif"),
    )
)
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp"))
"""Of pictures, which are videos of one frame."""

MEMBER_LIMIT = 1 << 31  # bytes; a larger file is no clip's video
JSON_LIMIT = 1 << 26  # bytes; read, it takes twenty times as many

# A playlist dressed up as a video could name other files or hosts: only plain containers open.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,apng,"
    "ivf,nut,mxf,h264,hevc,obu,m4v,mjpeg,yuv4mpegpipe,jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,tiff_pipe"
)
