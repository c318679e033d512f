//! The answers of the links in mails.

use harness::Moment;
use serde_json::json;

use super::Caller;
use crate::events::while_drained;

impl Caller {
    /// What the link in a mail answers.
    pub(super) async fn unsubscribes(&self) {
        let new = json!({"kind": "email", "to": "anna@mail.example", "types": ["endpoint.test"]}).to_string();
        let made = self.call("POST /v1/endpoints", "", &[], Some(&new)).await;
        let test = self.call("POST /v1/endpoints/{id}/test", made.text("/id"), &[], None);
        while_drained(&self.world, test).await;
        let mail = self.world.stack.channels.taken().pop().unwrap();
        let link =
            mail.body["headers"]["List-Unsubscribe"].as_str().unwrap().trim_end_matches('>').to_owned();
        let (_, token) = link.split_once("/unsubscribe/").unwrap();
        for route in ["GET /v1/unsubscribe/{token}", "POST /v1/unsubscribe/{token}"] {
            let version = [("genmux-version", "x")];
            let call = async |token: &str, headers: &[(&str, &str)]| {
                self.call(route, token, headers, None).await.status.as_u16()
            };
            self.world.wire.reset();
            self.world.wire.fail_at(0, Moment::Before);
            assert_eq!(call(token, &[]).await, 503);
            assert_eq!(call(token, &version).await, 400);
            assert_eq!(call("nonsense", &[]).await, 404);
            assert_eq!(call(token, &[]).await, 200);
        }
        self.call("DELETE /v1/endpoints/{id}", made.text("/id"), &[], None).await;
    }
}
