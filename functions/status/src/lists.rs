//! Lists: jobs, models, providers, an account's money.

use domain::allowed::Allowed;
use domain::budget::Standing;
use domain::id::{AccountId, JobId};
use domain::job::State;
use domain::policy::health::Change;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde_json::{Value, json};
use shared::edge::dialect::native::JobView;
use shared::edge::http::{Problem, json as answer};
use shared::edge::page::{bad_parameter, cursor, encode, limit, parameter};
use shared::operate::{budgets, jobs};
use shared::store::keystore::ApiKey;
use shared::store::ledger::Line;

use super::App;

/// Changes of a provider's health that are shown.
const CHANGES_MAX: i32 = 10;

/// `GET /v1/jobs?status=&limit=&cursor=`: newest first.
pub(crate) async fn jobs(
    app: &App,
    request: &Request,
    account: &AccountId,
) -> Result<Response<Body>, Problem> {
    let limit = limit(request)?;
    let status = status(request)?;
    let cursor = cursor(request, |text| text.parse::<JobId>().ok())?;
    let page = jobs::page(&app.jobs, account, status, limit, cursor).await?;
    let next = page.next.map(|(at, id)| encode(at, id.as_str()));
    let now = app.clock.now();
    // Without media links.
    let shown = page.jobs.iter().map(|job| JobView::new(job, None, None).at(now, job, &app.catalog));
    let shown: Vec<_> = shown.collect();
    Ok(answer(StatusCode::OK, &json!({"jobs": shown, "next_cursor": next})))
}

/// `GET /v1/account`: the balance, the budgets that the caller's key counts against, what that key may order,
/// and the ledger newest first.
pub(crate) async fn account(
    app: &App,
    request: &Request,
    caller: &ApiKey,
) -> Result<Response<Body>, Problem> {
    let ApiKey { id, account, rules, .. } = caller;
    let limit = limit(request)?;
    let cursor = cursor(request, Line::key)?;
    let balance = app.ledger.balance(account).await?;
    let lines = app.ledger.lines(account, limit, cursor).await?;
    let next = lines.next.map(|(at, key)| encode(at, &key));
    let entries: Vec<Value> = lines
        .items
        .iter()
        .map(|line| {
            let kind = line.entry.name();
            let amount = line.entry.amount().micros();
            json!({
                "kind": kind,
                "micro_credits": amount,
                "job": line.entry.job(),
                "topup": line.entry.topup(),
                "at": line.at.to_string(),
            })
        })
        .collect();
    let policy = app.accounts.policy(account).await?;
    let now = app.clock.now();
    let budgets = budgets::standings(&app.budgets, account, &policy, Some((id, rules)), now).await?;
    let Allowed { models, providers } = &rules.allowed;
    let body = json!({
        "id": account,
        "balance_micro_credits": balance.micros(),
        "budgets": budgets.iter().map(Standing::json).collect::<Vec<_>>(),
        "key": {"id": id, "models": models, "providers": providers},
        "ledger": entries,
        "next_cursor": next,
    });
    Ok(answer(StatusCode::OK, &body))
}

/// `GET /v1/providers`: health of every configured provider, with its latest changes.
pub(crate) async fn providers(app: &App) -> Result<Response<Body>, Problem> {
    let gauges = app.admission.health(&app.providers).await?;
    let changes = app.admission.changes_of(&app.providers, CHANGES_MAX).await?;
    let providers = app.providers.iter().zip(changes).map(|(provider, changes)| match gauges.get(provider) {
        Some(gauge) => json!({
            "name": provider,
            "health": gauge.condition().name(),
            "latency_ms": gauge.latency_ms,
            "since": gauge.since.to_string(),
            "checked_at": gauge.checked_at.to_string(),
            "changes": changes.iter().map(change).collect::<Vec<_>>(),
        }),
        None => json!({"name": provider, "health": "unknown"}),
    });
    Ok(answer(StatusCode::OK, &json!({"providers": providers.collect::<Vec<_>>()})))
}

fn change(change: &Change) -> Value {
    json!({"at": change.at.to_string(), "from": change.from.name(), "to": change.to.name()})
}

fn status(request: &Request) -> Result<Option<State>, Problem> {
    let Some(text) = parameter(request, "status") else { return Ok(None) };
    let state = State::ALL.into_iter().find(|state| state.name() == text);
    let names = || State::ALL.iter().map(|state| state.name().to_owned()).collect();
    state.map(Some).ok_or_else(|| bad_parameter("status", "is not a job status", names()))
}
