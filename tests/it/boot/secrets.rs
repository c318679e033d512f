//! Secrets by reference, over the wire of the service that keeps them.

use harness::World;
use shared::boot::{Env, Process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A process of this world whose environment has these as well.
fn process<'a>(world: &'a World, more: &[(&'a str, &'a str)]) -> Process {
    let variable = "AWS_ENDPOINT_URL_SECRETS_MANAGER";
    let endpoint = world.operator.env.get(variable).unwrap();
    let first = more.iter().copied();
    Process {
        env: Env::from_pairs([(variable, endpoint)].into_iter().chain(first)),
        ..world.operator.clone()
    }
}

/// Answers every call as if this text were what the secret holds; gives its URL.
async fn serve_secret(text: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = serde_json::json!({"SecretString": text}).to_string();
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 8192];
            let _request = stream.read(&mut request).await;
            let _sent = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

#[tokio::test]
async fn what_is_in_a_secret_is_read_like_a_variable_and_a_variable_goes_before_it() {
    let world = World::new().await;
    let arns = world.stack.host.template().secrets.values().map(String::as_str).collect::<Vec<_>>();
    let listed = arns.join(", ");
    let started = process(&world, &[("SECRETS", &listed), ("FAL_KEY", "of the environment")]);
    let env = started.with_secrets().await.unwrap().env;
    assert_eq!(env.get("FAL_KEY"), Some("of the environment"));
    assert_eq!(env.get("RUNWAYML_API_SECRET"), Some("simulated"));
    assert!(env.get("WEBHOOK_TOKEN_SECRET").is_some_and(|secret| secret.len() > 32));
}

#[tokio::test]
async fn a_process_without_secrets_asks_for_none() {
    let world = World::new().await;
    let started = process(&world, &[]);
    let started = Process { aws: world.stack.operator.aws.clone(), ..started };
    assert!(started.with_secrets().await.is_ok());
    assert_eq!(world.wire.effects(), 0);
}

#[tokio::test]
async fn a_secret_that_is_not_there_stops_the_start_and_is_named() {
    let world = World::new().await;
    let refused = process(&world, &[("SECRETS", "arn:of:nothing")]).with_secrets().await.unwrap_err();
    let told = format!("{refused:?}");
    assert!(told.starts_with("secret arn:of:nothing cannot be used: "), "{told}");
    assert!(told.contains("can't find the specified secret value"), "{told}");
}

#[tokio::test]
async fn an_error_says_nothing_of_what_is_in_the_secret() {
    let world = World::new().await;
    for text in ["hunter2", r#"{"FAL_KEY": 4711}"#, r#"["hunter2"]"#, r#"{"hunter2": null}"#, ""] {
        let url = serve_secret(text).await;
        let given = [("SECRETS", "keys"), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &url)];
        let refused = process(&world, &given).with_secrets().await.unwrap_err();
        assert_eq!(format!("{refused:?}"), "secret keys cannot be used: it is not a JSON object of texts");
    }
}
