"""The page: HTML rendered on the server. One module a noun, each with a router of its own."""

from fastapi import APIRouter

from api import page_acts, page_channels, page_job, page_jobs, page_new

router = APIRouter(include_in_schema=False)
for module in (page_jobs, page_new, page_job, page_acts, page_channels):
    router.include_router(module.router)
