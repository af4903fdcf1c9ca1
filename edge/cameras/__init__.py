"""Where frames come from: recordings, videos, cameras."""
