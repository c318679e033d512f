//! Other dialects of the API: the same rules, said otherwise.

mod gateway;
mod openai;
mod retries;
mod uploads;

use domain::job::State;
use harness::{Answer, World};
use reqwest::Method;
use serde_json::Value;

/// The smallest PNG that passes for one.
pub(crate) const IMAGE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0sum!";
const FORM: &str = "multipart/form-data; boundary=between";

/// A form of these texts, and of this file if there is one.
fn form(texts: &[(&str, &str)], file: Option<&[u8]>) -> Vec<u8> {
    let mut body = Vec::new();
    let mut part = |head: &str, content: &[u8]| {
        body.extend(format!("--between\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes());
        body.extend([content, b"\r\n"].concat());
    };
    for (name, value) in texts {
        part(&format!("name=\"{name}\""), value.as_bytes());
    }
    if let Some(file) = file {
        part("name=\"input_reference\"; filename=\"boat.png\"\r\nContent-Type: image/png", file);
    }
    body.extend(b"--between--\r\n");
    body
}

/// Creates a video by a form, as OpenAI's clients do.
async fn create(
    world: &World,
    headers: &[(&str, &str)],
    texts: &[(&str, &str)],
    file: Option<&[u8]>,
) -> Answer {
    let headers: Vec<_> = headers.iter().copied().chain([("content-type", FORM)]).collect();
    world.send(Method::POST, "/v1/videos", &headers, form(texts, file)).await
}

async fn get(world: &World, path: &str) -> Answer {
    world.call(Method::GET, path, &[], None).await
}

async fn post(world: &World, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    world.call(Method::POST, path, headers, Some(&body.to_string())).await
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// What a redirect leads to.
async fn follow(answer: &Answer) -> Vec<u8> {
    assert_eq!(answer.status.as_u16(), 302, "{answer:?}");
    let file = reqwest::get(header(answer, "location")).await.unwrap();
    assert_eq!(file.status().as_u16(), 200, "{file:?}");
    file.bytes().await.unwrap().to_vec()
}

/// What only these dialects, and uploads, make the functions do.
pub(crate) async fn everything(world: &World) {
    crate::uploads::everything(world).await;
    let texts = [("model", "pika-2.2"), ("prompt", "a boat")];
    let counted = |count| [("x-stainless-retry-count", count)];
    let made = create(world, &counted("1"), &texts, Some(IMAGE)).await;
    create(world, &counted("0"), &texts, Some(IMAGE)).await;
    let id = made.text("/id").parse().unwrap();
    let job = world.finish(&id).await;
    assert_eq!(job.state(), State::Succeeded, "{job:?}");
    get(world, "/v1/videos").await;
    let deleted = world.call(Method::DELETE, &format!("/v1/videos/{id}"), &[], None).await;
    assert_eq!(deleted.status.as_u16(), 200, "{deleted:?}");
    // A request that is refused now may be a repeat of one that was accepted.
    let refused = serde_json::json!({"model": "veo-99", "prompt": "a boat"});
    world.post_job(&refused, "refused").await;
}
