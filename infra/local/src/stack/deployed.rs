//! The template with the values that it has on this machine.

use std::collections::BTreeMap;

use anyhow::Result;
use url::Url;

use super::{ACCOUNT_ID, BUCKET, Options, REGION, TABLE, providers};
use crate::host::{Deployment, Template};

/// Functions that accept and fetch loopback URLs here, but not when deployed.
const REACH_THIS_MACHINE: [&str; 7] =
    ["console", "deliver", "dispatch", "endpoints", "fetch", "submit", "topups"];
/// The template, as this stack deploys it.
pub(super) fn template(
    options: &Options,
    (api_url, socket_url): (&str, &str),
    sqs_endpoint: String,
    parameters: BTreeMap<String, String>,
) -> Result<Template> {
    let mut template = Template::load(Deployment {
        stack_name: "genmux".to_owned(),
        region: REGION.to_owned(),
        account_id: ACCOUNT_ID.to_owned(),
        api_endpoint: options.public_url.as_ref().map_or_else(|| api_url.to_owned(), Url::to_string),
        sqs_endpoint,
        table_name: TABLE.to_owned(),
        bucket_name: BUCKET.to_owned(),
        parameters,
    })?;
    if let Some(dispatch) = template.functions.get_mut("dispatch") {
        dispatch.environment.extend(callbacks(options, api_url));
    }
    let stage = template.sockets.as_ref().map_or("", |api| &api.stage);
    let socket_url = format!("{socket_url}/{stage}");
    for function in template.functions.values_mut() {
        if let Some(url) = function.environment.get_mut("SOCKET_URL") {
            url.clone_from(&socket_url);
        }
    }
    reach_this_machine(&mut template);
    Ok(template)
}

fn reach_this_machine(template: &mut Template) {
    for (_, function) in
        template.functions.iter_mut().filter(|(name, _)| REACH_THIS_MACHINE.contains(&name.as_str()))
    {
        function.environment.insert("MEDIA_ALLOW_LOOPBACK".to_owned(), "true".to_owned());
    }
}

/// The callback base URLs: local for simulators, public for real providers.
fn callbacks(options: &Options, api_url: &str) -> [(String, String); 3] {
    let public = options.public_url.as_ref().map(Url::to_string).filter(|_| options.webhooks);
    let local = if options.webhooks { api_url } else { "" };
    [
        ("WEBHOOK_BASE_URL", public.unwrap_or_default()),
        ("SIMULATED_CALLBACK_URL", local.to_owned()),
        ("SIMULATED_PROVIDERS", providers::names(&options.pool.simulated)),
    ]
    .map(|(variable, value)| (variable.to_owned(), value))
}
