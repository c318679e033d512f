//! The answers of the dialects of OpenAI and of the AI SDK.

use serde_json::json;
use shared::store::keystore::Scope;

use super::{Caller, NO_JOB, ORDER};

impl Caller {
    /// Every kind of answer of both.
    pub(super) async fn dialects(&self) {
        let model = ("ai-model-id", "pika-2.2");
        let call = async |route: &str, id: &str, headers: &[(&str, &str)], body: &str| {
            let answer = self.call(route, id, headers, (!body.is_empty()).then_some(body)).await;
            (answer.status.as_u16(), answer)
        };
        let (create, start) = ("POST /v1/videos", "POST /v1/ai/video-model/start");
        let (status, made) = call(create, "", &[("idempotency-key", "video")], ORDER).await;
        assert_eq!(status, 200);
        let id = made.text("/id").to_owned();
        let operation = json!({"operation": {"id": id}}).to_string();
        let asked = "POST /v1/ai/video-model/status";
        assert_eq!(call(create, "", &[("idempotency-key", "video")], ORDER).await.0, 200);
        assert_eq!(call("GET /v1/videos/{id}/content", &id, &[], "").await.0, 409);
        assert_eq!(call("GET /v1/jobs/{id}/content", &id, &[], "").await.0, 409);
        assert_eq!(call("HEAD /v1/jobs/{id}/content", &id, &[], "").await.0, 409);
        assert_eq!(call("DELETE /v1/videos/{id}", &id, &[], "").await.0, 409);
        assert_eq!(call(asked, "", &[], &operation).await.0, 200);
        self.world.finish(&id.parse().unwrap()).await;
        for route in
            ["GET /v1/videos/{id}/content", "GET /v1/jobs/{id}/content", "HEAD /v1/jobs/{id}/content"]
        {
            assert_eq!(call(route, &id, &[], "").await.0, 302, "{route}");
            assert_eq!(call(route, NO_JOB, &[], "").await.0, 404, "{route}");
        }
        let failed = self.submit("a throat [[sim: fail=content_policy]]").await;
        self.world.finish(&failed.parse().unwrap()).await;
        for (id, operation) in [(&id, operation), (&failed, json!({"operation": {"id": failed}}).to_string())]
        {
            assert_eq!(call("GET /v1/videos/{id}", id, &[], "").await.0, 200);
            assert_eq!(call(asked, "", &[], &operation).await.0, 200);
        }
        assert_eq!(call("GET /v1/videos", "", &[], "").await.0, 200);
        assert_eq!(call("GET /v1/videos?limit=0", "", &[], "").await.0, 400);
        assert_eq!(call("GET /v1/ai/config", "", &[], "").await.0, 200);
        self.deleted(&id).await;
        for route in ["GET /v1/videos/{id}", "DELETE /v1/videos/{id}"] {
            assert_eq!(call(route, NO_JOB, &[], "").await.0, 404, "{route}");
        }
        let unknown = json!({"operation": {"id": NO_JOB}}).to_string();
        assert_eq!(call(asked, "", &[], &unknown).await.0, 404);
        let warned = r#"{"prompt": "a", "providerOptions": {"fal": {}}}"#;
        let (status, started) = call(start, "", &[model], warned).await;
        assert_eq!(status, 202);
        self.world.finish(&started.text("/operation/id").parse().unwrap()).await;
        assert_eq!(call(start, "", &[("ai-model-id", "veo-99")], r#"{"prompt": "a"}"#).await.0, 404);
        let poor =
            format!("Bearer {}", self.world.new_key(&"acct_poor".parse().unwrap(), vec![Scope::Write]).await);
        let poor = ("authorization", poor.as_str());
        assert_eq!(call(start, "", &[model, poor], r#"{"prompt": "a"}"#).await.0, 402);
        assert_eq!(call(create, "", &[poor], ORDER).await.0, 429);
        let long = " ".repeat((4 << 20) + 1);
        for (route, headers) in [(create, &[][..]), (start, &[model]), (asked, &[])] {
            assert_eq!(call(route, "", headers, &long).await.0, 413, "{route}");
            assert_eq!(call(route, "", headers, "{").await.0, 400, "{route}");
        }
    }
    /// What is answered once the video of the key `video` is deleted.
    async fn deleted(&self, id: &str) {
        let key = [("idempotency-key", "video")];
        for (route, headers, body, status) in [
            ("DELETE /v1/videos/{id}", &[][..], None, 200),
            ("GET /v1/jobs/{id}", &[], None, 200),
            ("POST /v1/videos", &key, Some(ORDER), 409),
            ("GET /v1/jobs/{id}/content", &[], None, 410),
            ("HEAD /v1/jobs/{id}/content", &[], None, 410),
        ] {
            assert_eq!(self.call(route, id, headers, body).await.status.as_u16(), status, "{route}");
        }
    }
}
