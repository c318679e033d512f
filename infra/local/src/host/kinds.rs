//! The types of resources that the host understands, and what of each it leaves aside.

/// What the host does with the properties of one type of resource. It reads those that neither list has.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The only value with which it does what the service would.
    pub(super) only: &'static [(&'static str, &'static str)],
    /// Access, encryption, packaging, deletion, monitoring: nothing that a function could observe here.
    pub(super) without_effect: &'static [&'static str],
}

pub(super) const FUNCTION: &str = "AWS::Serverless::Function";

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: FUNCTION,
        only: &[("Handler", "bootstrap"), ("Runtime", "provided.al2023")],
        without_effect: &[
            "Architectures",
            "CodeUri",
            "LoggingConfig",
            "ReservedConcurrentExecutions",
            "Tracing",
        ],
    },
    Kind { name: "AWS::IAM::Role", only: &[], without_effect: &["AssumeRolePolicyDocument"] },
    Kind { name: "AWS::IAM::ManagedPolicy", only: &[], without_effect: &["PolicyDocument", "Roles"] },
    Kind { name: "AWS::Logs::LogGroup", only: &[], without_effect: &["LogGroupName", "RetentionInDays"] },
    Kind {
        name: "AWS::Logs::MetricFilter",
        only: &[],
        without_effect: &["FilterPattern", "LogGroupName", "MetricTransformations"],
    },
    Kind {
        name: "AWS::CloudWatch::Alarm",
        only: &[],
        without_effect: &[
            "AlarmActions",
            "AlarmDescription",
            "ComparisonOperator",
            "Dimensions",
            "EvaluationPeriods",
            "MetricName",
            "Metrics",
            "Namespace",
            "Period",
            "Statistic",
            "Threshold",
            "TreatMissingData",
        ],
    },
    Kind {
        name: "AWS::CloudWatch::Dashboard",
        only: &[],
        without_effect: &["DashboardBody", "DashboardName"],
    },
    Kind { name: "AWS::SNS::Topic", only: &[], without_effect: &["DisplayName"] },
    Kind {
        name: "AWS::SNS::Subscription",
        only: &[("Protocol", "email")],
        without_effect: &["Endpoint", "TopicArn"],
    },
    Kind {
        name: "AWS::ApiGatewayV2::Api",
        only: &[],
        without_effect: &["DisableExecuteApiEndpoint", "Name"],
    },
    Kind {
        name: "AWS::ApiGatewayV2::Stage",
        only: &[("AutoDeploy", "true")],
        // A function does not observe its rate limits.
        without_effect: &["AccessLogSettings", "DefaultRouteSettings", "RouteSettings"],
    },
    Kind {
        name: "AWS::ApiGatewayV2::Integration",
        only: &[("IntegrationType", "AWS_PROXY")],
        without_effect: &[],
    },
    Kind { name: "AWS::ApiGatewayV2::Route", only: &[], without_effect: &["AuthorizationType"] },
    Kind { name: "AWS::ApiGatewayV2::RouteResponse", only: &[], without_effect: &["ApiId"] },
    Kind {
        name: "AWS::Lambda::Permission",
        only: &[("Action", "lambda:InvokeFunction")],
        without_effect: &["SourceArn"],
    },
    Kind {
        name: "AWS::Lambda::EventSourceMapping",
        only: &[("FunctionResponseTypes", r#"["ReportBatchItemFailures"]"#)],
        without_effect: &[],
    },
    Kind {
        name: "AWS::SecretsManager::Secret",
        only: &[],
        // What is in a secret is never in the template.
        without_effect: &["Description", "GenerateSecretString"],
    },
    Kind { name: "AWS::SQS::Queue", only: &[], without_effect: &["QueueName", "SqsManagedSseEnabled"] },
    Kind { name: "AWS::SQS::QueuePolicy", only: &[], without_effect: &["PolicyDocument", "Queues"] },
    Kind { name: "AWS::Events::Rule", only: &[("State", "ENABLED")], without_effect: &[] },
    Kind {
        name: "AWS::DynamoDB::Table",
        only: &[("BillingMode", "PAY_PER_REQUEST")],
        without_effect: &[
            "DeletionProtectionEnabled",
            "PointInTimeRecoverySpecification",
            "SSESpecification",
        ],
    },
    Kind {
        name: "AWS::S3::Bucket",
        only: &[],
        without_effect: &[
            "BucketEncryption",
            "LifecycleConfiguration",
            "OwnershipControls",
            "PublicAccessBlockConfiguration",
        ],
    },
    Kind { name: "AWS::S3::BucketPolicy", only: &[], without_effect: &["Bucket", "PolicyDocument"] },
];
