// @ts-check
// A study's page, live.

import { followJob } from "./job.js";

followJob();
