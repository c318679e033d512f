// One job by a client that is generated from the API's document: only the required fields are given.
import createClient from "openapi-fetch";

import type { paths } from "./api.js";

const api = createClient<paths>({
  baseUrl: process.env["GENMUX_API"]!,
  headers: { authorization: `Bearer ${process.env["GENMUX_KEY"]}` },
});
const { data: job, error } = await api.POST("/v1/jobs", {
  body: { model: "veo-3.1-fast", prompt: "a boat by a generated client" },
});
if (!job) throw new Error(JSON.stringify(error));
for (let i = 0; i < 20; i++) {
  const { data } = await api.GET("/v1/jobs/{id}", { params: { path: { id: job.id }, header: { Prefer: "wait=5" } } });
  if (data?.status === "succeeded") {
    console.log(`generated client: ${data.media![0]!.bytes} bytes`);
    process.exit(0);
  }
}
throw new Error("the job has not ended");
