//! A server that returns the exact bytes of a test, and clients that call it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use domain::provider::Provider;
use domain::time::Timestamp;
use signatures::Secret;
use url::Url;

use crate::provider::{ProviderClient, ProviderConfig, Timeouts};

pub(in crate::provider) const KEY: &str = "key-that-must-stay-secret";
pub(in crate::provider) const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

pub(in crate::provider) enum Reply {
    Answer(String),
    /// Reads the request and closes the connection.
    Cut,
    /// Reads the request and says nothing more.
    Hang,
}

/// Answers one connection after another; the requests it has read are in `requests`.
pub(in crate::provider) struct Server {
    pub(in crate::provider) url: Url,
    requests: Receiver<String>,
    /// Dropped with the server, which lets its thread end.
    _alive: Sender<()>,
}

impl Server {
    pub(in crate::provider) fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (read, requests) = channel();
        let (alive, ended) = channel::<()>();
        thread::spawn(move || {
            let mut open = Vec::new();
            for reply in replies {
                let Ok((mut stream, _)) = listener.accept() else { return };
                if read.send(read_request(&mut stream)).is_err() {
                    return;
                }
                match reply {
                    Reply::Answer(text) => drop(stream.write_all(text.as_bytes())),
                    Reply::Cut => {}
                    Reply::Hang => open.push(stream),
                }
            }
            drop(listener);
            let _ = ended.recv();
        });
        Self { url, requests, _alive: alive }
    }

    /// The requests read so far: complete once the client has returned.
    pub(in crate::provider) fn read(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }
}

fn read_request(stream: &mut TcpStream) -> String {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).unwrap_or(0);
        request.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if count == 0 || body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return text;
        }
    }
}

pub(in crate::provider) fn answer(status: u16, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Answer(format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}"))
}

pub(in crate::provider) fn client(provider: Provider, base_url: &Url) -> ProviderClient {
    client_within(Duration::from_secs(30), provider, base_url)
}

pub(in crate::provider) fn client_within(
    timeout: Duration,
    provider: Provider,
    base_url: &Url,
) -> ProviderClient {
    let timeouts =
        Timeouts { connect: timeout, create: timeout, deliver: timeout, ask: timeout, ping: timeout };
    let config = ProviderConfig {
        base_url: Some(base_url.clone()),
        ..ProviderConfig::new(provider, Secret::new(KEY))
    };
    ProviderClient::new(vec![config], timeouts).unwrap()
}
