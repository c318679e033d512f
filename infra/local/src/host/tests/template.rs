use std::time::Duration;

use super::super::Template;
use super::super::template::TEMPLATE;
use super::deployment;

fn load() -> Template {
    Template::load(deployment()).unwrap()
}

/// The error of the template with `from` replaced by `to`.
fn refusal(from: &str, to: &str) -> String {
    assert!(TEMPLATE.contains(from), "the template has no {from}");
    let error = Template::parse(&TEMPLATE.replacen(from, to, 1), deployment()).expect_err(to);
    format!("{error:#}")
}

const ROUTES: [&str; 53] = [
    "$default → status",
    "DELETE /v1/endpoints/{id} → endpoints",
    "DELETE /v1/jobs/{id}/media → cancel",
    "DELETE /v1/videos/{id} → cancel",
    "GET / → console",
    "GET /console → console",
    "GET /console/{proxy+} → console",
    "GET /docs → console",
    "GET /openapi.json → status",
    "GET /v1/account → status",
    "GET /v1/ai/config → status",
    "GET /v1/endpoints → endpoints",
    "GET /v1/endpoints/{id} → endpoints",
    "GET /v1/endpoints/{id}/deliveries → endpoints",
    "GET /v1/endpoints/{id}/secret → endpoints",
    "GET /v1/events → endpoints",
    "GET /v1/events/{id} → endpoints",
    "GET /v1/events/{id}/deliveries → endpoints",
    "GET /v1/jobs → status",
    "GET /v1/jobs/{id} → status",
    "GET /v1/jobs/{id}/content → status",
    "GET /v1/models → status",
    "GET /v1/packs → topups",
    "GET /v1/providers → status",
    "GET /v1/topups → topups",
    "GET /v1/topups/{id} → topups",
    "GET /v1/unsubscribe/{token} → endpoints",
    "GET /v1/usage → status",
    "GET /v1/videos → status",
    "GET /v1/videos/models → status",
    "GET /v1/videos/{id} → status",
    "GET /v1/videos/{id}/content → status",
    "HEAD /v1/jobs/{id}/content → status",
    "PATCH /v1/endpoints/{id} → endpoints",
    "POST /console/{proxy+} → console",
    "POST /v1/ai/video-model/start → submit",
    "POST /v1/ai/video-model/status → status",
    "POST /v1/endpoints → endpoints",
    "POST /v1/endpoints/{id}/recover → endpoints",
    "POST /v1/endpoints/{id}/secret/rotate → endpoints",
    "POST /v1/endpoints/{id}/test → endpoints",
    "POST /v1/endpoints/{id}/tickets → endpoints",
    "POST /v1/events/{id}/redeliver → endpoints",
    "POST /v1/inbound/{source}/{token} → webhook",
    "POST /v1/jobs → submit",
    "POST /v1/jobs/{id}/cancel → cancel",
    "POST /v1/payments/{processor} → webhook",
    "POST /v1/quotes → submit",
    "POST /v1/topups → topups",
    "POST /v1/unsubscribe/{token} → endpoints",
    "POST /v1/uploads → submit",
    "POST /v1/videos → submit",
    "POST /v1/webhooks/{provider}/{token} → webhook",
];

#[test]
fn every_route_leads_to_its_function() {
    let mut routes: Vec<_> =
        load().routes.iter().map(|route| format!("{} → {}", route.key, route.function)).collect();
    routes.sort();
    assert_eq!(routes, ROUTES);
    let sockets = load().sockets.unwrap();
    assert_eq!(sockets.stage, "live");
    assert!(sockets.routes.values().all(|function| function == "socket"), "{sockets:?}");
}

#[test]
fn each_function_has_the_environment_that_it_reads_and_no_more() {
    let template = load();
    let environments: Vec<_> = template
        .functions
        .iter()
        .map(|(name, spec)| {
            let names: Vec<_> = spec.environment.keys().map(String::as_str).collect();
            format!("{name}: {}", names.join(" "))
        })
        .collect();
    assert_eq!(
        environments,
        [
            "cancel: CANCEL_REFUND CATALOG KEY_RATE_LIMIT MEDIA_BUCKET NOTIFY_QUEUE_URL OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS POLL_QUEUE_URL RUST_LOG TABLE",
            "console: CANCEL_REFUND CATALOG DELIVER_QUEUE_URL DISPATCH_QUEUE_URL KEY_RATE_LIMIT LIVE_JOBS_MAX MEDIA_BUCKET NOTIFY_QUEUE_URL OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS PAYMENT_KEYS PAYMENT_MODE POLL_QUEUE_URL PROCESSORS PROVIDERS RUST_LOG TABLE",
            "deliver: API_URL DEAD_LETTER_QUEUE_URL DELIVER_QUEUE_URL NOTIFY_QUEUE_URL OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS RUST_LOG SECRETS SENDERS SES_CONFIGURATION_SET SOCKET_URL TABLE",
            "dispatch: CATALOG DEAD_LETTER_QUEUE_URL DISPATCH_QUEUE_URL MEDIA_BUCKET NOTIFY_QUEUE_URL OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS POLL_QUEUE_URL PROVIDERS PROVIDER_LIMITS RUST_LOG SECRETS SETTLE_QUEUE_URL TABLE UNCLEAR_CREATE WEBHOOK_BASE_URL",
            "endpoints: DELIVER_QUEUE_URL EVENT_TARGETS GOOGLE_TARGETS KEY_RATE_LIMIT NOTIFY_QUEUE_URL OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS RUST_LOG SECRETS SENDERS SOCKET_URL TABLE",
            "fetch: CATALOG DEAD_LETTER_QUEUE_URL FETCH_QUEUE_URL MEDIA_BUCKET NOTIFY_QUEUE_URL OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS POLL_QUEUE_URL PROVIDERS PROVIDER_LIMITS RUST_LOG SECRETS SETTLE_QUEUE_URL TABLE",
            "health: ALERT_RULES CATALOG DEAD_LETTER_QUEUE_URLS NOTIFY_QUEUE_URL OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS PROVIDERS RUST_LOG SECRETS TABLE",
            "notify: DEAD_LETTER_QUEUE_URL DELIVER_QUEUE_URL MEDIA_BUCKET OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS RUST_LOG TABLE",
            "payment: DEAD_LETTER_QUEUE_URL NOTIFY_QUEUE_URL OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS PAYMENT_MODE PAYMENT_QUEUE_URL PROCESSORS RUST_LOG SECRETS TABLE",
            "poll: CATALOG DEAD_LETTER_QUEUE_URL FETCH_QUEUE_URL OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS POLL_QUEUE_URL PROVIDERS RUST_LOG SECRETS SETTLE_QUEUE_URL TABLE",
            "reconcile: CATALOG DELIVER_QUEUE_URL DISPATCH_QUEUE_URL NOTIFY_QUEUE_URL OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS PAYMENT_QUEUE_URL POLL_QUEUE_URL RUST_LOG TABLE",
            "settle: CATALOG DEAD_LETTER_QUEUE_URL DISPATCH_QUEUE_URL FETCH_QUEUE_URL NOTIFY_QUEUE_URL OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS POLL_QUEUE_URL PROVIDERS PROVIDER_LIMITS RUST_LOG SECRETS SETTLE_QUEUE_URL TABLE",
            "socket: OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS RUST_LOG SOCKET_URL TABLE",
            "status: CATALOG KEY_RATE_LIMIT MEDIA_BUCKET MEDIA_DAYS MEDIA_VARIANTS OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS PROVIDERS RUST_LOG TABLE",
            "submit: CATALOG DISPATCH_QUEUE_URL KEY_RATE_LIMIT LIVE_JOBS_MAX MEDIA_BUCKET MEDIA_DAYS OPENAI_VIDEO_ALIASES OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS PROVIDERS RUST_LOG TABLE",
            "topups: CATALOG KEY_RATE_LIMIT OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS PAYMENT_MODE PROCESSORS RUST_LOG SECRETS TABLE",
            "webhook: FETCH_QUEUE_URL NOTIFY_QUEUE_URL OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS PAYMENT_MODE PAYMENT_QUEUE_URL PROCESSORS PROVIDERS RUST_LOG SECRETS SETTLE_QUEUE_URL WEBHOOK_BASE_URL",
        ]
    );
}

#[test]
fn each_queue_is_consumed_by_its_function_and_gives_up_to_its_dead_letter_queue() {
    let template = load();
    let mut consumed: Vec<_> = template
        .mappings
        .iter()
        .map(|mapping| (mapping.queue.as_str(), mapping.function.as_str(), mapping.batch_size))
        .collect();
    consumed.sort_unstable();
    assert_eq!(
        consumed,
        [
            ("genmux-deliver", "deliver", 2),
            ("genmux-dispatch", "dispatch", 1),
            ("genmux-fetch", "fetch", 1),
            ("genmux-notify", "notify", 10),
            ("genmux-payment", "payment", 2),
            ("genmux-poll", "poll", 10),
            ("genmux-settle", "settle", 1)
        ]
    );
    for mapping in &template.mappings {
        let queue = template.queues.iter().find(|queue| queue.name == mapping.queue).unwrap();
        let timeout = template.functions[&mapping.function].timeout;
        let visibility = Duration::from_secs(queue.visibility_timeout_s.into());
        assert!(visibility >= 6 * timeout, "{}: {visibility:?} against {timeout:?}", queue.name);
        let redrive = queue.redrive.as_ref().unwrap();
        assert_eq!(redrive.max_receive_count, 5);
        assert_eq!(redrive.dead_letter_queue, format!("{}-dead", queue.name));
    }
    let (dead, live) = template.queues.split_at(template.mappings.len());
    assert!(dead.iter().all(|queue| queue.redrive.is_none() && queue.retention_s == 1_209_600));
    assert!(live.iter().all(|queue| queue.redrive.is_some()));
}

#[test]
fn names_and_addresses_are_those_of_the_local_stack() {
    let template = load();
    let dispatch = &template.functions["dispatch"];
    assert_eq!(dispatch.name, "genmux-dispatch");
    assert_eq!(dispatch.timeout, Duration::from_secs(60));
    assert_eq!(dispatch.environment["TABLE"], "table-1");
    assert_eq!(dispatch.environment["PROVIDERS"], "fal,runway");
    assert_eq!(
        dispatch.environment["DISPATCH_QUEUE_URL"],
        "http://127.0.0.1:9324/000000000000/genmux-dispatch"
    );
    assert_eq!(dispatch.environment["WEBHOOK_BASE_URL"], "http://127.0.0.1:8080");
    assert_eq!(template.functions["fetch"].environment["MEDIA_BUCKET"], "bucket-1");
    assert_eq!(template.functions["fetch"].memory_mb, 512);
    assert_eq!(template.table["TableName"], "table-1");
    assert_eq!(template.table["GlobalSecondaryIndexes"][0]["IndexName"], "due");
}

#[test]
fn a_parameter_decides_where_it_is_given() {
    let mut deployment = deployment();
    deployment.parameters.insert("WebhookBaseUrl".to_owned(), "https://hooks.example".to_owned());
    let template = Template::load(deployment).unwrap();
    assert_eq!(template.functions["dispatch"].environment["WEBHOOK_BASE_URL"], "https://hooks.example");
}

#[test]
fn a_list_in_a_parameter_becomes_the_resources_of_a_right_and_none_is_no_right() {
    let targets = |parameter: &str| {
        let mut deployment = deployment();
        deployment.parameters.insert("EventTargets".to_owned(), parameter.to_owned());
        let template = Template::load(deployment).unwrap();
        let grants =
            template.functions["deliver"].grants.iter().filter(|grant| grant.action == "sns:Publish");
        grants.map(|grant| grant.resource.clone()).collect::<Vec<_>>()
    };
    assert_eq!(targets(""), Vec::<String>::new());
    assert_eq!(targets("arn:a,arn:b"), ["arn:a", "arn:b"]);
}

#[test]
fn the_long_forms_of_the_intrinsic_functions_mean_the_same() {
    let name = "${AWS::StackName}-submit";
    let text = TEMPLATE
        .replacen("TABLE: !Ref Table", "TABLE: { Ref: Table }", 1)
        .replacen(
            &format!("FunctionName: !Sub {name}"),
            &format!("FunctionName: {{ 'Fn::Sub': '{name}' }}"),
            1,
        )
        .replacen(
            "PROVIDERS: !Ref Providers",
            "PROVIDERS: { 'Fn::Join': ['+', [!Ref Providers, { 'Fn::GetAtt': [Table, Arn] }, '${x}']] }",
            1,
        );
    let submit = &Template::parse(&text, deployment()).unwrap().functions["submit"];
    assert_eq!(submit.name, "genmux-submit");
    assert_eq!(submit.environment["TABLE"], "table-1");
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/table-1";
    assert_eq!(submit.environment["PROVIDERS"], format!("fal,runway+{arn}+${{x}}"));
}

#[test]
fn what_the_host_does_not_understand_is_refused_by_the_name_of_its_resource() {
    for (from, to, named) in [
        ("VisibilityTimeout: 1800", "FifoQueue: true", "resource FetchQueue: unknown field `FifoQueue`"),
        ("maxReceiveCount: 5", "maxReceives: 5", "resource DispatchQueue: unknown field `maxReceives`"),
        ("Timeout: 300", "SnapStart: 1", "resource FetchFunction: unknown field"),
        ("ProtocolType: HTTP", "ProtocolType: WEBSOCKET", "one stage of a WebSocket API is expected"),
        ("ProtocolType: HTTP", "ProtocolType: TCP", "resource HttpApi: unknown variant `TCP`"),
        ("StageName: $default", "StageName: live", "resource HttpStage: the stage of an HTTP API must be"),
        ("PayloadFormatVersion: \"2.0\"", "PayloadFormatVersion: \"1.0\"", "PayloadFormatVersion must be"),
        ("RouteKey: $disconnect", "RouteKey: $other", "a WebSocket API has the routes $connect"),
        ("RouteResponseKey: $default", "RouteResponseKey: x", "resource SocketMessageResponse: the key x"),
        ("RouteId: !Ref SocketMessageRoute", "RouteId: x", "the default route alone sends answers"),
        ("AutoDeploy: true", "AutoDeploy: false", "resource HttpStage: AutoDeploy must be true"),
        ("rate(1 minute)", "cron(0 * * * ? *)", "resource HealthSchedule: cron(0 * * * ? *) is not"),
        ("rate(1 minute)", "rate(1 minutes)", "resource HealthSchedule: rate(1 minutes) is not"),
        ("POST /v1/jobs\n", "ANY /v1/jobs\n", "resource SubmitRoute: the route key ANY /v1/jobs is not"),
        ("GET /v1/models", "ANY /v1/models", "resource ModelsRoute: the route key ANY /v1/models is not"),
        ("AWS::S3::BucketPolicy", "AWS::S3::Acl", "resource MediaBucketPolicy: the type AWS::S3::Acl"),
        (
            "Effect: Allow\n                Action: sqs",
            "Effect: Deny\n                Action: sqs",
            "unknown variant `Deny`",
        ),
        ("ProjectionType: KEYS_ONLY", "ProjectionType: !Base64 x", "resource Table: Base64 \"x\" is not"),
        ("TimeToLiveSpecification:", "StreamSpecification:", "resource Table: unknown field `StreamSpec"),
        ("CorsRules:", "NotificationRules:", "resource MediaBucket: unknown field"),
        ("Outputs:", "Mappings:", "unknown field `Mappings`"),
        ("    DeletionPolicy:", "    CreationPolicy:", "unknown field `CreationPolicy`"),
    ] {
        let refusal = refusal(from, to);
        assert!(refusal.contains(named), "{to}: {refusal}");
    }
}

#[test]
fn a_name_that_leads_nowhere_is_refused() {
    for (from, to, named) in [
        (
            "TABLE: !Ref Table",
            "TABLE: !Ref Tible",
            "resource SubmitFunction: nothing in the template is called",
        ),
        ("!GetAtt HttpApi.ApiEndpoint", "!GetAtt HttpApi.Url", "attribute Url of HttpApi"),
        ("integrations/${SubmitIntegration}", "integrations/x", "resource QuoteRoute: integrations/x is no"),
        (
            "EventSourceArn: !GetAtt DispatchQueue.Arn",
            "EventSourceArn: arn",
            "resource DispatchMapping: arn is no",
        ),
        (
            "Role: !GetAtt PollRole.Arn",
            "Role: !GetAtt SubmitRole.Arn",
            "resource SubmitFunction has no role of its own",
        ),
        (
            "Condition: HasAlarmEmail",
            "Condition: HasMail",
            "resource AlarmSubscription: no condition HasMail",
        ),
        ("!If [HasWebhookBaseUrl", "!If [HasUrl", "no condition HasUrl"),
        ("Binary: submit", "Library: submit", "resource SubmitFunction has no BuildProperties.Binary"),
    ] {
        let refusal = refusal(from, to);
        assert!(refusal.contains(named), "{to}: {refusal}");
    }
}

#[test]
fn a_route_and_a_schedule_need_the_permission_to_invoke() {
    let refused = refusal("Principal: apigateway.amazonaws.com", "Principal: events.amazonaws.com");
    assert!(refused.contains("apigateway.amazonaws.com has no permission to invoke submit"), "{refused}");
    let refused = refusal("FunctionName: !Ref HealthFunction", "FunctionName: !Ref PollFunction");
    assert!(refused.contains("events.amazonaws.com has no permission to invoke health"), "{refused}");
}

#[test]
fn a_parameter_without_a_legal_value_is_refused() {
    let refusal = |name: &str, value: &str| {
        let mut deployment = deployment();
        deployment.parameters.insert(name.to_owned(), value.to_owned());
        format!("{:#}", Template::load(deployment).expect_err(name))
    };
    assert_eq!(refusal("MediaAllowLoopback", "true"), "the template has no parameter MediaAllowLoopback");
    assert!(refusal("LogDays", "2").contains("must be one of"));
    assert!(refusal("Catalog", "media/x").contains("must match ^(config/"));
    assert_eq!(refusal("MediaDays", "many"), "parameter MediaDays is a number");
    assert_eq!(refusal("MediaDays", "-1"), "parameter MediaDays is too small");
    assert_eq!(refusal("Colour", "red"), "the template has no parameter Colour");
}

/// What listens to the internet must not know the keys, and nothing else needs any secret.
#[test]
fn each_function_is_given_the_secrets_that_it_needs_and_no_others() {
    let given = |parameters: &[(&str, &str)]| {
        let mut deployment = deployment();
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        deployment.parameters.extend(parameters);
        let template = Template::load(deployment).unwrap();
        let name = |arn: &str| template.secrets.iter().find(|(_, it)| *it == arn).unwrap().0.clone();
        let given = |(function, spec): (&String, &super::super::FunctionSpec)| {
            let lists = ["SECRETS", "PAYMENT_KEYS"].into_iter().filter_map(|name| spec.environment.get(name));
            let arns = lists.flat_map(|list| list.split(',')).filter(|arn| !arn.is_empty());
            let names: Vec<_> = arns.map(name).collect();
            (!names.is_empty()).then(|| format!("{function}: {}", names.join(" ")))
        };
        template.functions.iter().filter_map(given).collect::<Vec<_>>()
    };
    // What has no value yet stops no function that does without it.
    let without = given(&[]);
    let unset = ["ChannelSecrets", "PaymentKeys", "PaymentWebhooks"];
    assert!(!without.iter().any(|given| unset.iter().any(|secret| given.contains(secret))), "{without:?}");
    assert!(without.contains(&"webhook: WebhookSecrets InboundSources".to_owned()), "{without:?}");
    assert_eq!(
        given(&[("Senders", "telegram"), ("Processors", "stripe")]),
        [
            "console: PaymentKeys",
            "deliver: EndpointSecrets ChannelSecrets",
            "dispatch: ProviderKeys WebhookSecrets",
            "endpoints: EndpointSecrets",
            "fetch: ProviderKeys",
            "health: ProviderKeys",
            "payment: PaymentKeys",
            "poll: ProviderKeys",
            "settle: ProviderKeys",
            "topups: PaymentKeys",
            "webhook: WebhookSecrets InboundSources PaymentWebhooks",
        ]
    );
}

/// Or two stages of one account would meet.
#[test]
fn every_name_of_ours_holds_the_stacks() {
    let properties = ["DashboardName:", "FunctionName:", "LogGroupName:", "MetricNamespace:", "QueueName:"];
    let names: Vec<_> = TEMPLATE
        .lines()
        .map(str::trim)
        .filter(|line| properties.iter().any(|property| line.trim_start_matches("- ").starts_with(property)))
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let refers = ["${AWS::StackName}", "!Ref ", "!GetAtt "].iter().any(|it| name.contains(it));
        assert!(refers, "{name}");
    }
}

/// A parameter is readable for everybody who may look at the stack.
#[test]
fn a_secret_parameter_or_a_secret_in_the_template_is_refused() {
    let refused = refusal("    Default: fal,runway", "    NoEcho: true");
    assert!(refused.contains("unknown field `NoEcho`"), "{refused}");
    let refused = refusal("GenerateSecretString:", "SecretString:");
    assert!(refused.contains("resource WebhookSecrets: unknown field `SecretString`"), "{refused}");
}
