//! Reads `infra/template.yaml`: what is deployed to AWS is what runs here.
//!
//! Nothing in it that would change behaviour is ignored: a resource, a property or a value
//! that the host does not understand is an error that names the resource.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::apis::{Apis, Route, SocketApi};
use super::cors::{ApiCors, BucketCors};
use super::intrinsics::Deployment;
use super::resources::{
    BucketProperties, Document, FunctionProperties, MappingProperties, Permission, QueueProperties,
    RecursiveLoop, RedrivePolicy, RoleProperties, Rule, Stack, TableProperties, Unread,
};

pub(super) const TEMPLATE: &str = include_str!("../../../template.yaml");

/// The deployed stack, resolved and linked: every name in it is the name of something that is there.
///
/// A function is named by its package (`BuildProperties.Binary`), a queue by its `QueueName`.
#[derive(Debug, Clone)]
pub struct Template {
    pub deployment: Deployment,
    pub functions: BTreeMap<String, FunctionSpec>,
    pub routes: Vec<Route>,
    /// `None`: no WebSocket API.
    pub sockets: Option<SocketApi>,
    /// A dead-letter queue comes before the queues that use it.
    pub queues: Vec<Queue>,
    pub mappings: Vec<Mapping>,
    pub schedules: Vec<Schedule>,
    /// The ARNs of the secrets, by logical id.
    pub secrets: BTreeMap<String, String>,
    /// Of the API, if pages of other origins may call it.
    pub cors: Option<ApiCors>,
    /// Of the bucket.
    pub bucket_cors: Vec<BucketCors>,
    /// The properties of the `AWS::DynamoDB::Table`, with its `TableName`.
    pub table: Value,
}

/// How one function is deployed.
#[derive(Debug, Clone)]
pub struct FunctionSpec {
    /// The name it is deployed under.
    pub name: String,
    pub environment: BTreeMap<String, String>,
    pub timeout: Duration,
    pub memory_mb: u32,
    /// Whether it goes on where recursive loop detection would stop it.
    pub may_recurse: bool,
    /// What its role lets it do.
    pub grants: Vec<Grant>,
}

/// One action on one resource, as a policy has it: an ARN may end in a wildcard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    pub action: String,
    pub resource: String,
}

/// A standard queue; all spans in seconds.
#[derive(Debug, Clone)]
pub struct Queue {
    pub name: String,
    pub url: String,
    pub visibility_timeout_s: u32,
    pub delay_s: u32,
    pub retention_s: u32,
    pub receive_wait_s: u32,
    pub redrive: Option<Redrive>,
}

#[derive(Debug, Clone)]
pub struct Redrive {
    pub dead_letter_queue: String,
    pub max_receive_count: u32,
}

/// Which function consumes a queue, and how.
#[derive(Debug, Clone)]
pub struct Mapping {
    pub queue: String,
    pub queue_arn: String,
    pub function: String,
    pub batch_size: u32,
    pub max_concurrency: usize,
    /// How long a batch that is not full waits for more.
    pub window: Duration,
}

#[derive(Debug, Clone)]
pub struct Schedule {
    pub rule_arn: String,
    pub function: String,
    pub every: Duration,
}

/// Properties that are only read to check that they have no unknown value.
const WITHOUT_EFFECT: [&str; 9] = [
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::IAM::ManagedPolicy",
    "AWS::Logs::LogGroup",
    "AWS::Logs::MetricFilter",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SQS::QueuePolicy",
];

impl Template {
    /// The stack that `infra/template.yaml` declares.
    ///
    /// # Errors
    ///
    /// If the parameters do not fit the template, or if the host does not understand a part of it.
    pub fn load(deployment: Deployment) -> Result<Self> {
        Self::parse(TEMPLATE, deployment)
    }

    pub(super) fn parse(text: &str, deployment: Deployment) -> Result<Self> {
        let document = Document::parse(text)?;
        let stack = Stack::new(&document, &deployment)?;
        for without_effect in WITHOUT_EFFECT {
            stack.read::<Unread>(without_effect)?;
        }
        let bucket: BucketProperties = one(&stack, "AWS::S3::Bucket")?;
        let names = Names::read(&stack, &deployment)?;
        let apis = Apis::read(&stack)?;
        Ok(Self {
            functions: functions(&stack)?,
            routes: apis.http(&names)?,
            sockets: apis.socket(&names)?,
            queues: queues(&stack, &names)?,
            mappings: mappings(&stack, &names)?,
            schedules: schedules(&stack, &names)?,
            secrets: secrets(&stack)?,
            cors: apis.cors(),
            bucket_cors: bucket.cors_configuration.cors_rules,
            table: table(&stack, &deployment)?,
            deployment,
        })
    }
}

/// Finds functions and queues by what the template calls them elsewhere: an ARN or a name.
pub(super) struct Names {
    /// Package by ARN and by deployed name.
    functions: BTreeMap<String, String>,
    /// Queue name by ARN.
    queues: BTreeMap<String, String>,
    permissions: Vec<(String, Permission)>,
}

impl Names {
    fn read(stack: &Stack<'_>, deployment: &Deployment) -> Result<Self> {
        let mut functions = BTreeMap::new();
        for (id, properties) in stack.read::<FunctionProperties>("AWS::Serverless::Function")? {
            let package = stack.package(&id)?;
            let arn = deployment.arn("lambda", &format!("function:{}", properties.function_name));
            functions.insert(arn, package.clone());
            functions.insert(properties.function_name, package);
        }
        let mut queues = BTreeMap::new();
        for (id, _) in stack.read::<QueueProperties>("AWS::SQS::Queue")? {
            let name = stack.resolver().physical_name(&id)?;
            queues.insert(deployment.arn("sqs", &name), name);
        }
        Ok(Self { functions, queues, permissions: stack.read("AWS::Lambda::Permission")? })
    }

    fn function(&self, arn_or_name: &str) -> Result<String> {
        self.functions.get(arn_or_name).cloned().with_context(|| format!("{arn_or_name} is no function"))
    }

    /// The function, if `principal` may call it.
    pub(super) fn function_for(&self, principal: &str, arn: &str) -> Result<String> {
        let function = self.function(arn)?;
        let allowed = |(_, permission): &(String, Permission)| {
            permission.principal == principal
                && self.functions.get(&permission.function_name) == Some(&function)
        };
        ensure!(self.permissions.iter().any(allowed), "{principal} has no permission to invoke {function}");
        Ok(function)
    }

    fn queue(&self, arn: &str) -> Result<String> {
        self.queues.get(arn).cloned().with_context(|| format!("{arn} is no queue"))
    }
}

fn functions(stack: &Stack<'_>) -> Result<BTreeMap<String, FunctionSpec>> {
    let read = stack.read::<FunctionProperties>("AWS::Serverless::Function")?;
    let mut roles = roles(stack)?;
    let spec = |(id, properties): (String, FunctionProperties)| {
        let spec = FunctionSpec {
            name: properties.function_name,
            environment: properties.environment.variables,
            timeout: Duration::from_secs(properties.timeout),
            memory_mb: properties.memory_size,
            may_recurse: properties.recursive_loop == RecursiveLoop::Allow,
            grants: roles
                .remove(&properties.role)
                .with_context(|| format!("resource {id} has no role of its own"))?,
        };
        Ok((stack.package(&id)?, spec))
    };
    read.into_iter().map(spec).collect()
}

/// What each role grants, by its ARN.
fn roles(stack: &Stack<'_>) -> Result<BTreeMap<String, Vec<Grant>>> {
    let mut roles = BTreeMap::new();
    for (id, role) in stack.read::<RoleProperties>("AWS::IAM::Role")? {
        let mut grants = Vec::new();
        for statement in role.policies.iter().flat_map(|policy| &policy.policy_document.statement) {
            for action in statement.action.as_slice() {
                let on = |resource: String| Grant { action: action.clone(), resource };
                let at = statement.resource.iter().flat_map(|at| at.as_slice()).cloned();
                let all_but =
                    statement.not_resource.iter().map(|but| format!("all but {}", but.as_slice().join(" ")));
                grants.extend(at.chain(all_but).map(on));
            }
        }
        roles.insert(stack.resolver().attribute(&id, "Arn")?, grants);
    }
    Ok(roles)
}

fn queues(stack: &Stack<'_>, names: &Names) -> Result<Vec<Queue>> {
    let queue = |(id, properties): (String, QueueProperties)| {
        let redrive = |policy: RedrivePolicy| {
            let dead_letter_queue = names.queue(&policy.dead_letter_target_arn)?;
            anyhow::Ok(Redrive { dead_letter_queue, max_receive_count: policy.max_receive_count })
        };
        Ok(Queue {
            name: stack.resolver().physical_name(&id)?,
            url: stack.resolver().reference(&id)?,
            visibility_timeout_s: properties.visibility_timeout,
            delay_s: properties.delay_seconds,
            retention_s: properties.message_retention_period,
            receive_wait_s: properties.receive_message_wait_time_seconds,
            redrive: properties
                .redrive_policy
                .map(redrive)
                .transpose()
                .with_context(|| format!("resource {id}"))?,
        })
    };
    let mut queues: Vec<Queue> =
        stack.read("AWS::SQS::Queue")?.into_iter().map(queue).collect::<Result<_>>()?;
    queues.sort_by_key(|queue| queue.redrive.is_some());
    Ok(queues)
}

fn mappings(stack: &Stack<'_>, names: &Names) -> Result<Vec<Mapping>> {
    let mapping = |(id, properties): (String, MappingProperties)| {
        let at = || format!("resource {id}");
        Ok(Mapping {
            queue: names.queue(&properties.event_source_arn).with_context(at)?,
            function: names.function(&properties.function_name).with_context(at)?,
            queue_arn: properties.event_source_arn,
            batch_size: properties.batch_size,
            max_concurrency: properties.scaling_config.maximum_concurrency,
            window: Duration::from_secs(properties.maximum_batching_window_in_seconds),
        })
    };
    stack.read("AWS::Lambda::EventSourceMapping")?.into_iter().map(mapping).collect()
}

fn schedules(stack: &Stack<'_>, names: &Names) -> Result<Vec<Schedule>> {
    let mut schedules = Vec::new();
    for (id, Rule { schedule_expression, targets }) in stack.read("AWS::Events::Rule")? {
        let at = || format!("resource {id}");
        let every = rate(&schedule_expression).with_context(at)?;
        for target in targets {
            let function = names.function_for("events.amazonaws.com", &target.arn).with_context(at)?;
            schedules.push(Schedule { rule_arn: stack.resolver().attribute(&id, "Arn")?, function, every });
        }
    }
    Ok(schedules)
}

/// The period of a `rate(…)` expression, with the service's own rule on singular and plural.
pub(super) fn rate(expression: &str) -> Result<Duration> {
    let understood = || {
        let (count, unit) = expression.strip_prefix("rate(")?.strip_suffix(')')?.split_once(' ')?;
        let count: u64 = count.parse().ok().filter(|count| *count > 0)?;
        let minutes = match (unit, count) {
            ("minute", 1) => 1,
            ("minutes", 2..) => count,
            ("hour", 1) => 60,
            ("hours", 2..) => count.checked_mul(60)?,
            _ => return None,
        };
        Some(Duration::from_secs(minutes.checked_mul(60)?))
    };
    understood().with_context(|| format!("{expression} is not understood"))
}

fn secrets(stack: &Stack<'_>) -> Result<BTreeMap<String, String>> {
    let secrets = stack.read::<Unread>("AWS::SecretsManager::Secret")?.into_iter();
    secrets.map(|(id, Unread {})| Ok((id.clone(), stack.resolver().reference(&id)?))).collect()
}

/// The only resource of its type.
fn one<T: DeserializeOwned>(stack: &Stack<'_>, kind: &str) -> Result<T> {
    let mut found = stack.read(kind)?;
    match (found.pop(), found.is_empty()) {
        (Some((_, properties)), true) => Ok(properties),
        _ => bail!("one {kind} is expected"),
    }
}

fn table(stack: &Stack<'_>, deployment: &Deployment) -> Result<Value> {
    let mut table = serde_json::to_value(one::<TableProperties>(stack, "AWS::DynamoDB::Table")?)?;
    table["TableName"] = json!(deployment.table_name);
    Ok(table)
}
