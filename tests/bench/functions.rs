//! The functions as processes of their own, beside the least function there can be.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use domain::id::{AccountId, JobId};
use domain::provider::Provider;
use harness::runtime::{Function, environment};
use harness::{World, crowd};
use reqwest::Method;
use serde_json::{Value, json};
use shared::boot::Clock;
use shared::store::keystore::Scope;
use tokio::time::Instant;

use super::figures::Figures;

const HELLO: &str = "hello";
/// Calls before those that are counted: connections are open, keys and health are known.
const WARM: usize = 50;
/// Active jobs on a page.
const ACTIVE: usize = 100;
const JOBS: &str = "/console/jobs";
const OPERATED: &str = "/console/operate/jobs";
const MIB: f64 = 1_048_576.0;

/// Tables of all functions.
pub(crate) async fn measure(binaries: &Path, starts: usize, calls: usize) -> String {
    let quick = |options: &mut local::stack::Options| {
        (options.clock, options.latency) = (Clock::System, Duration::from_millis(100));
    };
    let world = World::with(quick).await;
    let functions: Vec<_> = world.stack.host.template().functions.keys().map(String::as_str).collect();
    let all = [&[HELLO], &functions[..]].concat();
    let mut text = format!(
        "{:10} {:>23}   {:>23}   {:>8}\n{:10} {:>7} {:>7} {:>7}   {:>7} {:>7} {:>7}   {:>8}\n",
        "a start",
        "CPU ms",
        "wall ms",
        "MiB",
        "",
        "lowest",
        "median",
        "highest",
        "lowest",
        "median",
        "highest",
        "peak"
    );
    // In turn, so that what the machine does meanwhile meets all of them.
    let mut started: BTreeMap<_, (Figures, Figures, u64)> = BTreeMap::new();
    for _ in 0..starts {
        for name in &all {
            let (cpu, wall, memory) = start(&world, binaries, name).await;
            let figures = started.entry(*name).or_default();
            figures.0.add(cpu);
            figures.1.add(wall);
            figures.2 = figures.2.max(memory);
        }
    }
    let floor = started[HELLO].0.median();
    for name in &all {
        let (cpu, wall, memory) = &started[name];
        let ratio = cpu.median() / floor;
        let memory = *memory as f64 / MIB;
        writeln!(text, "{name:10} {}   {}   {memory:8.1}   {ratio:4.1} x", cpu.spread(), wall.spread())
            .expect("a text takes all");
    }
    text + &called(&world, binaries, calls).await
}

async fn start(world: &World, binaries: &Path, name: &str) -> (Duration, Duration, u64) {
    let environment = if name == HELLO { BTreeMap::new() } else { environment(world, name) };
    let begun = Instant::now();
    let mut function = Function::start(&binaries.join(name), &environment).await;
    function.ready().await;
    (function.cpu(), begun.elapsed(), function.memory())
}

/// CPU of a call, in turns of a hundred calls.
async fn called(world: &World, binaries: &Path, calls: usize) -> String {
    let events = events(world).await;
    let mut text = format!("\n{:21} {:>23}\n", "a call", "CPU ms, turns of 100");
    let mut floor = 0.0;
    for (call, name) in [
        ("status", HELLO),
        ("submit", "submit"),
        ("webhook", "webhook"),
        ("status", "status"),
        (JOBS, "console"),
        (OPERATED, "console"),
    ] {
        let event = &events[call];
        let environment = if name == HELLO { BTreeMap::new() } else { environment(world, name) };
        let mut function = Function::start(&binaries.join(name), &environment).await;
        let (mut logs, mut sink) = (function.process.stdout.take().expect("its logs"), tokio::io::sink());
        tokio::spawn(async move { tokio::io::copy(&mut logs, &mut sink).await });
        for _ in 0..WARM {
            invoke(&mut function, name, event).await;
        }
        let mut figures = Figures::default();
        // A page takes a hundred times as long.
        let turns = if name == "console" { 3 } else { calls.div_ceil(100) };
        for _ in 0..turns {
            let before = function.cpu();
            for _ in 0..100 {
                invoke(&mut function, name, event).await;
            }
            figures.add((function.cpu() - before) / 100);
        }
        let median = figures.median();
        if name == HELLO {
            floor = median;
        }
        let above = median - floor;
        let memory = function.memory() as f64 / MIB;
        let call = if name == HELLO { HELLO } else { call };
        writeln!(text, "{call:21} {}   {above:7.3} above hello, peak {memory:.1} MiB", figures.spread())
            .expect("a text takes all");
    }
    text
}

async fn invoke(function: &mut Function, name: &str, event: &Value) {
    let answer = function.invoke(event.clone()).await.expect(name);
    let status = answer["statusCode"].as_u64().expect("an answer over HTTP");
    assert!((200..300).contains(&status), "{name}: {answer}");
}

/// Real events of a job and of pages with a hundred active ones, as the stack got them. Without its key, an order
/// is a new one each time.
async fn events(world: &World) -> BTreeMap<&'static str, Value> {
    let body = json!({"model": "pika-2.2", "prompt": "a paper boat", "provider": Provider::Fal});
    let made = world.post_job(&body, "measured").await;
    let id: JobId = made.text("/id").parse().expect("a job");
    let ended = async {
        while !world.job(&id).await.state().is_terminal() {
            world.drain().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the job ends");
    world.status(&id).await;
    crowd::add(world, &id, 2 * ACTIVE).await;
    let operator = world.new_key(&AccountId::operator(), vec![Scope::Read, Scope::Write]).await;
    for (key, page) in [(&world.key, JOBS), (&operator, OPERATED)] {
        let cookie = sign_in(world, key).await;
        let shown = world.call(Method::GET, page, &[("authorization", ""), ("cookie", &cookie)], None).await;
        assert_eq!(shown.status, 200, "{page}");
    }
    let events = world.wire.invocations();
    let newest = |is_it: &dyn Fn(&str, &Value) -> bool| {
        let found = events.iter().rev().find(|(function, event)| is_it(function, event));
        found.expect("it was called").1.clone()
    };
    let of = |name: &str| newest(&|function, _| function == name);
    let page = |path: &str| newest(&|_, event| event["rawPath"] == path);
    let mut submit = of("submit");
    submit["headers"].as_object_mut().expect("headers").remove("idempotency-key");
    BTreeMap::from([
        ("submit", submit),
        ("webhook", of("webhook")),
        ("status", of("status")),
        (JOBS, page(JOBS)),
        (OPERATED, page(OPERATED)),
    ])
}

/// The session of a key, as a cookie.
async fn sign_in(world: &World, key: &str) -> String {
    let form = "application/x-www-form-urlencoded";
    let headers = [("authorization", ""), ("content-type", form), ("origin", &world.stack.api_url)];
    let shown = world.call(Method::POST, "/console/sign-in", &headers, Some(&format!("key={key}"))).await;
    let cookie = shown.headers["set-cookie"].to_str().expect("a cookie");
    cookie.split(';').next().expect("its value").to_owned()
}
