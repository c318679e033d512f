//! Least privilege: each role grants what its function's calls need, and nothing else.
//!
//! The stories are played over the local wire, every call is noted with the right that the
//! platform would ask for, and both sides are compared with the template. So a statement
//! that is taken from a role fails here, and so does one that is put in without need.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::budget::Budgets;
use domain::credit::Credits;
use domain::id::{AccountId, JobId};
use domain::verdict::{Billed, ErrorClass, Fault, Verdict};
use harness::story::STORIES;
use harness::{Moment, Receiver, World};
use local::host::{Grant, Template};
use reqwest::{Method, StatusCode};
use serde_json::json;
use shared::store::keystore::Scope;
use shared::store::queue::{Message, Queue, Source};

use crate::{console, dialects, events, inbound, payments, price_book};

/// What the template must grant although no call of ours shows it.
fn unseen(template: &Template) -> BTreeSet<(String, Grant)> {
    let mut unseen = BTreeSet::new();
    let mut add = |function: &str, action: &str, resource: &str| {
        let grant = Grant { action: action.to_owned(), resource: resource.to_owned() };
        unseen.insert((function.to_owned(), grant));
    };
    for (function, spec) in &template.functions {
        // The platform writes what a function logs in the function's name.
        let logs = template.deployment.arn("logs", &format!("log-group:/aws/lambda/{}:*", spec.name));
        add(function, "logs:CreateLogStream", &logs);
        add(function, "logs:PutLogEvents", &logs);
        // Read before there is any invocation.
        let secrets = spec.environment.get("SECRETS").into_iter().flat_map(|arns| arns.split(','));
        secrets.for_each(|arn| add(function, "secretsmanager:GetSecretValue", arn));
        if spec.environment.contains_key("CATALOG") {
            add(function, "s3:GetObject", "arn:aws:s3:::genmux-media/config/*");
        }
    }
    // A mapping takes messages in its function's name.
    for mapping in &template.mappings {
        for action in ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"] {
            add(&mapping.function, action, &mapping.queue_arn);
        }
    }
    // Only for messages that cannot succeed.
    for function in ["dispatch", "poll", "settle", "fetch", "notify", "deliver", "payment"] {
        let dead_letters = template.deployment.arn("sqs", &format!("genmux-{function}-dead"));
        add(function, "sqs:SendMessage", &dead_letters);
    }
    // Not by the SDK, whose wire this test sees: see `events::targets`.
    let targets = template.deployment.parameters["EventTargets"].split(',');
    for target in targets {
        let service = target.split(':').nth(2).unwrap();
        let actions = ["events:PutEvents", "lambda:InvokeFunction", "sns:Publish", "sqs:SendMessage"];
        let action = actions.into_iter().find(|action| action.starts_with(service)).unwrap();
        add("deliver", action, target);
    }
    add("deliver", "sns:Publish", "all but arn:aws:sns:*:*:*");
    add("deliver", "sns:Publish", "arn:aws:sns:*:000000000000:endpoint/*");
    add("deliver", "ses:SendEmail", &template.deployment.parameters["SesIdentity"]);
    add("deliver", "ses:SendEmail", &template.deployment.arn("ses", "configuration-set/genmux"));
    // Of the WebSocket API: see `events::sockets`.
    let connections = template.deployment.arn("execute-api", "SocketApi/live/POST/@connections/*");
    add("deliver", "execute-api:ManageConnections", &connections);
    add("socket", "execute-api:ManageConnections", &connections);
    // Only for a connection whose end was not reported.
    add("deliver", "dynamodb:DeleteItem", "arn:aws:dynamodb:us-east-1:000000000000:table/genmux");
    let media = "arn:aws:s3:::genmux-media/media/*";
    // A link has its signer's rights, and is made without a call.
    add("status", "s3:GetObject", media);
    add("notify", "s3:GetObject", media);
    add("console", "s3:GetObject", media);
    add("dispatch", "s3:GetObject", "arn:aws:s3:::genmux-media/uploads/*");
    // A form has its signer's rights, and a missing upload is found missing by this one.
    add("submit", "s3:ListBucket", "arn:aws:s3:::genmux-media");
    // Only where the table did not take the answer to a create call for seconds.
    add("dispatch", "sqs:SendMessage", &template.deployment.arn("sqs", "genmux-settle"));
    // Only where a file of more than 16 MiB breaks off.
    add("fetch", "s3:AbortMultipartUpload", media);
    // Only where an earlier copy died, or another was faster.
    add("fetch", "s3:GetObject", media);
    add("fetch", "s3:ListBucket", "arn:aws:s3:::genmux-media");
    // Only for an attempt that runs on although its job goes another way.
    add("settle", "sqs:SendMessage", "arn:aws:sqs:us-east-1:000000000000:genmux-poll");
    add("fetch", "sqs:SendMessage", "arn:aws:sqs:us-east-1:000000000000:genmux-poll");
    // Only for the lease of a copy that takes long, and after a race.
    add("fetch", "dynamodb:GetItem", "arn:aws:dynamodb:us-east-1:000000000000:table/genmux");
    // Only after a race whose winner the table did not tell.
    add("dispatch", "dynamodb:GetItem", "arn:aws:dynamodb:us-east-1:000000000000:table/genmux");
    add("reconcile", "dynamodb:GetItem", "arn:aws:dynamodb:us-east-1:000000000000:table/genmux");
    // Only by providers without webhooks and look-ups that answer a create with the media.
    add("dispatch", "s3:GetObject", media);
    add("dispatch", "s3:PutObject", media);
    add("dispatch", "s3:ListBucket", "arn:aws:s3:::genmux-media");
    unseen
}

/// Whether a right is at a resource of its own service: another is none.
fn is_one(grant: &Grant) -> bool {
    const OF_TARGETS: [&str; 4] = ["events", "lambda", "sns", "sqs"];
    let by = grant.action.split(':').next();
    let at = grant.resource.split(':').nth(2);
    grant.resource.starts_with("all but ") || at == by || !OF_TARGETS.map(Some).contains(&by)
}

fn covers(granted: &Grant, needed: &Grant) -> bool {
    let resource = match granted.resource.strip_suffix('*') {
        Some(prefix) => needed.resource.starts_with(prefix),
        None => needed.resource == granted.resource,
    };
    resource && granted.action == needed.action
}

/// Alerts are written for an operator who has an endpoint.
async fn operator_listens(world: &World, receiver: &Receiver) {
    let operator = AccountId::operator();
    let key = world.new_key(&operator, vec![Scope::Write]).await;
    let bearer = format!("Bearer {key}");
    let body = json!({"url": receiver.url("/alerts"), "types": ["provider.*"]}).to_string();
    let made = world.call(Method::POST, "/v1/endpoints", &[("authorization", &bearer)], Some(&body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
}

/// What depends on counters of an account: tiers, budgets, and usage.
async fn counted(world: &World) {
    price_book::set_prices(world, "[[tiers]]\nfrom = 1\npercent = 90\n").await;
    let large = Some(Credits::from_micros(1 << 50));
    let all = Budgets { day: large, month: large, total: large };
    world.set_budgets(all, all).await;
    let order = json!({"model": "gen-4.5", "prompt": "a boat"}).to_string();
    let quote = world.call(Method::POST, "/v1/quotes", &[], Some(&order)).await;
    assert_eq!((quote.status, &quote.body["price_version"]), (StatusCode::OK, &json!(1)), "{quote:?}");
    for prompt in ["a boat", "a boat [[sim: fail=content_policy]]"] {
        let id = world.submit("gen-4.5", prompt, &format!("counted: {prompt}")).await;
        world.finish(&id).await;
    }
    for path in ["/v1/account", "/v1/models", "/v1/usage?group_by=model&bucket=1h", "/v1/usage?format=csv"] {
        let answer = world.call(Method::GET, path, &[], None).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
    }
}

/// A failure that its provider neither confirms nor denies is asked about again.
async fn unconfirmed(world: &World) -> JobId {
    let id = world.submit("pika-2.2", "a [[sim: latency=12000, status=html]]", "unconfirmed").await;
    world.drain().await;
    world.advance(Duration::from_secs(4_500)).await;
    let fault = Fault::new(ErrorClass::ContentPolicy, None, Billed::No);
    let outcome = Some(Verdict::Broke { fault, cost: None });
    let report = Message::Settle {
        job_id: id.clone(),
        attempt: 1,
        remote: None,
        outcome,
        source: Source::Webhook,
        sender: None,
        asked: 0,
    };
    let queue = Queue::new(world.operator.sqs(), world.stack.sqs.queue_url("genmux-settle"));
    queue.send(&report, None, Duration::ZERO).await.unwrap();
    world.drain().await;
    world.tick().await;
    id
}

/// Every function does at least once whatever it can do.
async fn everything(world: &World) {
    let receiver = events::listen(world).await;
    operator_listens(world, &receiver).await;
    // Before time passes: links are signed by this clock, and judged by the wall's.
    dialects::everything(world).await;
    for story in STORIES {
        story.play(world, story.name).await;
    }
    // A job that nobody can make fails over until it has no route left.
    let prompt = "a boat [[sim: create=refuse:429]]";
    let id = world.submit("veo-3.1", prompt, "hopeless").await;
    world.finish(&id).await;
    // What was learnt of the providers is forgotten before the next.
    world.advance(Duration::from_secs(600)).await;
    // One that is stopped while it runs, and one before it is sent.
    let id = world.submit("gen-4.5", "a boat [[sim: latency=600]]", "stopped").await;
    world.drain().await;
    world.cancel(&id).await;
    world.finish(&id).await;
    let id = world.submit("gen-4.5", "a boat", "not sent").await;
    world.cancel(&id).await;
    world.finish(&id).await;
    // A status that no document names is an alert.
    let prompt = "a boat [[sim: latency=600, status=unknown, webhook=lost]]";
    let id = world.submit("gen-4.5", prompt, "odd").await;
    world.finish(&id).await;
    // A file that cannot be had at once is tried again.
    let id = world.submit("pika-2.2", "a boat [[sim: asset=500:3]]", "file").await;
    world.finish(&id).await;
    // Whatever dies in between, `reconcile` brings on.
    for k in 0..10 {
        world.wire.reset();
        world.wire.crash_at(k, Moment::Before);
        STORIES[1].play(world, &format!("crash {k}")).await;
    }
    // A create whose answer was lost is looked for where its provider can be asked.
    let id = world.submit("kling-2.5-turbo", "a boat [[sim: create=drop-after, webhook=lost]]", "lost").await;
    world.finish(&id).await;
    // Or by a webhook, whose word is compared with what its provider lists.
    let id = world.submit("pika-2.2", "a boat [[sim: create=drop-after]]", "told").await;
    world.finish(&id).await;
    // Or for what looks like it, leaving out what other attempts have.
    let id = world.submit("pika-2.2", "a boat [[sim: create=drop-after, webhook=lost]]", "alike").await;
    world.finish(&id).await;
    let id = unconfirmed(world).await;
    // Before the console, which shows the same.
    counted(world).await;
    console::everything(world).await;
    for path in ["/v1/jobs", "/v1/models", "/v1/videos/models", "/v1/providers", "/v1/account"] {
        world.call(Method::GET, path, &[], None).await;
    }
    world.status(&id).await;
    events::everything(world, &receiver).await;
    inbound::everything(world).await;
}

/// API keys are made and revoked by operators: every role is denied to write them.
#[test]
fn no_role_may_write_the_rows_of_keys() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let template = std::fs::read_to_string(root.join("infra/template.yaml")).unwrap();
    let (_, policy) = template.split_once("  KeyRowsPolicy:\n").unwrap();
    let (policy, _) = policy.split_once("\n\n").unwrap();
    let roles: BTreeSet<_> = template
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix("Role:"))
        .filter(|name| !name.starts_with(' '))
        .collect();
    assert_eq!(roles.len(), 17, "{roles:?}");
    for role in roles {
        assert!(policy.contains(&format!("- !Ref {role}Role\n")), "{role} may write keys");
    }
    for part in ["Effect: Deny", "Resource: !GetAtt Table.Arn", r#"dynamodb:LeadingKeys: ["KEY#*"]"#] {
        assert!(policy.contains(part), "{part}");
    }
    for write in ["BatchWriteItem", "DeleteItem", "PutItem", "UpdateItem"] {
        assert!(policy.contains(&format!("dynamodb:{write}")), "{write}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_grants_what_its_function_needs_and_nothing_else() {
    let world = World::with(inbound::with_github).await;
    everything(&world).await;
    payments::everything(&world).await;
    let template = world.stack.host.template();
    let used = world.wire.used();
    let needed: BTreeSet<_> =
        used.into_iter().filter(|(function, _)| !function.is_empty()).chain(unseen(template)).collect();
    let granted = template
        .functions
        .iter()
        .flat_map(|(function, spec)| spec.grants.iter().map(move |grant| (function.clone(), grant.clone())))
        .filter(|(_, grant)| is_one(grant));
    let granted: BTreeSet<_> = granted.collect();
    let is =
        |(by, granted): &(String, Grant), (of, needed): &(String, Grant)| by == of && covers(granted, needed);
    let missing: Vec<_> = needed.iter().filter(|need| !granted.iter().any(|grant| is(grant, need))).collect();
    let idle: Vec<_> = granted.iter().filter(|grant| !needed.iter().any(|need| is(grant, need))).collect();
    assert!(missing.is_empty(), "needed and not granted: {missing:#?}");
    assert!(idle.is_empty(), "granted and not needed: {idle:#?}");
    // No two grants do for the same need, so whichever is taken away is missed.
    for taken in &granted {
        let is_not_found_new =
            |need: &&(String, Grant)| !granted.iter().any(|grant| grant != taken && is(grant, need));
        let missed = needed.iter().find(is_not_found_new);
        let (function, Grant { action, resource }) = taken;
        println!("without {action} on {resource}, {function} fails");
        assert!(missed.is_some(), "{function} does without {action} on {resource}");
    }
}
