"""One router a noun; `api.app` includes them all."""
