//! Stories, and what each must survive: a crash at every effect, every message twice, and
//! a rival at every effect.

use std::collections::BTreeSet;

use std::time::Duration;

use domain::attempt::Phase;
use domain::budget::Budgets;
use domain::catalog::Catalog;
use domain::credit::Credits;
use domain::job::{CHECK_EVERY, Job, State};
use domain::provider::Provider;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sim::{CallKind, Fault};

use crate::wire::Moment;
use crate::world::World;

/// One job's way through the system.
#[derive(Debug, Clone, Copy)]
pub struct Story {
    pub name: &'static str,
    pub model: &'static str,
    pub prompt: &'static str,
    /// How it ends if nothing comes between.
    pub ends: State,
    /// Whether providers report, or are only polled.
    pub webhooks: bool,
    /// Whether the account and its key have budgets.
    pub budgets: bool,
}

pub const SUCCESS_BY_WEBHOOK: Story = Story {
    name: "success by webhook",
    model: "pika-2.2",
    prompt: "a paper boat",
    ends: State::Succeeded,
    webhooks: true,
    budgets: false,
};

pub const SUCCESS_BY_POLLING: Story = Story {
    name: "success by polling",
    model: "gen-4.5",
    prompt: "a paper boat",
    ends: State::Succeeded,
    webhooks: true,
    budgets: false,
};

pub const FAILOVER: Story = Story {
    name: "failover from fal to Runway",
    model: "veo-3.1",
    prompt: "a paper boat [[sim: create=refuse:429, only=fal]]",
    ends: State::Succeeded,
    webhooks: true,
    budgets: false,
};

pub const FAILURE_WITH_REFUND: Story = Story {
    name: "failure with refund",
    model: "pika-2.2",
    prompt: "a paper boat [[sim: fail=content_policy]]",
    ends: State::Failed,
    webhooks: true,
    budgets: false,
};

pub const FAILOVER_AFTER_ACCEPTANCE: Story = Story {
    name: "failover after acceptance",
    model: "veo-3.1",
    prompt: "a paper boat [[sim: fail=internal, only=fal]]",
    ends: State::Succeeded,
    webhooks: true,
    budgets: false,
};

/// The same, charged to budgets that it reaches no mark of, and refunded to them.
pub const BUDGET_REFUND: Story = Story { name: "refund to budgets", budgets: true, ..FAILURE_WITH_REFUND };

/// The answer to the create call is the media.
pub const STILL: Story = Story {
    name: "a still in the answer",
    model: "stable-image-core",
    prompt: "a paper boat",
    ends: State::Succeeded,
    webhooks: true,
    budgets: false,
};

pub const STORIES: [Story; 6] =
    [SUCCESS_BY_WEBHOOK, SUCCESS_BY_POLLING, FAILOVER, FAILURE_WITH_REFUND, FAILOVER_AFTER_ACCEPTANCE, STILL];

/// Who comes between, in a race.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rival {
    /// The same event, at once, in another instance.
    Twin,
    /// The caller cancels.
    Cancel,
    /// `reconcile` comes by, when everything is due.
    Reconcile,
}

impl Story {
    pub async fn world(&self) -> World {
        let webhooks = self.webhooks;
        let world = World::with(|options| options.webhooks = webhooks).await;
        if self.budgets {
            let limit = Some(Credits::from_micros(1 << 50));
            world
                .set_budgets(
                    Budgets { day: limit, month: limit, total: None },
                    Budgets { day: limit, month: None, total: limit },
                )
                .await;
        }
        world
    }

    /// Plays the story to its end, whatever comes between.
    pub async fn play(&self, world: &World, key: &str) -> Job {
        // What instances remember is old by now, so that every effect comes every time.
        world.clock.advance(Duration::from_secs(120));
        let id = world.submit(self.model, self.prompt, key).await;
        world.finish(&id).await
    }

    /// The providers that may be called in it.
    fn providers(&self) -> BTreeSet<Provider> {
        let catalog = Catalog::for_providers(Provider::ALL);
        let model = catalog.model(self.model).expect("the story's model exists");
        model.routes.iter().map(|route| route.provider).collect()
    }

    /// Plays the story with nothing in its way, counted from zero.
    async fn undisturbed(&self, world: &World) -> Job {
        world.wire.reset();
        let job = self.play(world, "undisturbed").await;
        assert_eq!(job.state(), self.ends, "{}: {job:?}", self.name);
        job
    }

    /// How many effects the undisturbed story has.
    async fn effects(&self, world: &World) -> usize {
        self.undisturbed(world).await;
        world.wire.effects()
    }

    /// Kills the function at every effect in turn, before it lands and after, and lets the
    /// system recover. Nothing may be lost, paid twice, or refunded while it may bill.
    pub async fn survives_crashes(&self) {
        let world = self.world().await;
        let effects = self.effects(&world).await;
        for moment in [Moment::Before, Moment::After] {
            for k in 0..effects {
                let before = creates(&world);
                world.wire.reset();
                world.wire.crash_at(k, moment);
                let job = self.play(&world, &format!("crash {moment:?} {k}")).await;
                let at = format!("{}: crash {moment:?} effect {k}: {job:?}", self.name);
                assert!(world.wire.is_spent(), "{at}: the effect never came");
                world.audit().await;
                // Only a crash that hid what became of the create call may change the end.
                let hidden = job.attempts().iter().any(|attempt| attempt.phase == Phase::Lost);
                assert!(job.state() == self.ends || hidden, "{at}");
                assert!(creates(&world) - before <= creates_of(&job), "{at}: more creates than attempts");
            }
        }
    }

    /// The same where the service answers with an error, and the function lives on.
    pub async fn survives_failures(&self) {
        let world = self.world().await;
        let effects = self.effects(&world).await;
        for moment in [Moment::Before, Moment::After] {
            for k in 0..effects {
                world.wire.reset();
                world.wire.fail_at(k, moment);
                let job = self.play(&world, &format!("fail {moment:?} {k}")).await;
                let at = format!("{}: failure {moment:?} effect {k}: {job:?}", self.name);
                world.audit().await;
                let hidden = job.attempts().iter().any(|attempt| attempt.phase == Phase::Lost);
                assert!(job.state() == self.ends || hidden, "{at}");
            }
        }
    }

    /// The same where every effect lands, its answer is lost, and the SDK repeats the call: what
    /// a function finds done by itself is no rival's, and the job goes as if nothing had been.
    pub async fn survives_lost_answers(&self) {
        let world = self.world().await;
        let undisturbed = self.undisturbed(&world).await;
        for k in 0..world.wire.effects() {
            let before = creates(&world);
            world.wire.reset();
            world.wire.lose_answer_at(k);
            let job = self.play(&world, &format!("lost answer {k}")).await;
            let calls = world.wire.calls();
            let at = format!("{}: lost answer of effect {k}, {}: {job:?}", self.name, calls[k]);
            assert!(world.wire.is_spent(), "{at}: the effect never came");
            assert_eq!(calls.get(k), calls.get(k + 1), "{at}: it was not repeated");
            world.audit().await;
            assert_eq!(creates(&world) - before, creates_of(&job), "{at}");
            assert_eq!(outline(&job), outline(&undisturbed), "{at}");
        }
    }

    /// Cuts the wire to each provider at each kind of call, before it has an effect and
    /// after. A lost answer is neither a failure nor a reason to send a create again.
    pub async fn survives_cut_wires(&self) {
        let world = self.world().await;
        self.effects(&world).await;
        for provider in self.providers() {
            for kind in [CallKind::Create, CallKind::Poll, CallKind::Result, CallKind::Keys, CallKind::Media]
            {
                for fault in [Fault::DropBefore, Fault::DropAfter] {
                    let before = creates(&world);
                    world.simulator(provider).cut(kind, fault);
                    let job = self.play(&world, &format!("{provider} {kind:?} {fault:?}")).await;
                    let at = format!("{}: {fault:?} at {provider}'s {kind:?}: {job:?}", self.name);
                    world.audit().await;
                    assert_eq!(creates(&world) - before, creates_of(&job), "{at}");
                    let hidden = job.attempts().iter().any(|attempt| attempt.phase == Phase::Lost);
                    assert!(job.state() == self.ends || (hidden && kind == CallKind::Create), "{at}");
                }
            }
        }
    }

    /// Handles every message and webhook twice; then, when all is over, all of them once
    /// more in reverse. The job, the books and the providers see each once.
    pub async fn survives_repeats(&self) {
        let world = self.world().await;
        self.effects(&world).await;
        let before = creates(&world);
        world.wire.reset();
        world.wire.double();
        let job = self.play(&world, "twice").await;
        assert_eq!(job.state(), self.ends, "{}: {job:?}", self.name);
        assert_eq!(creates(&world) - before, job.attempts().len(), "{}", self.name);
        world.audit().await;

        let invocations = world.wire.invocations();
        for (function, event) in invocations.into_iter().rev().filter(|(name, _)| name != "submit") {
            let _answer = world.stack.host.invoke(&function, event).await;
        }
        world.drain().await;
        assert_eq!(world.job(job.id()).await, job, "{}: a repeat changed the job", self.name);
        assert_eq!(creates(&world) - before, job.attempts().len(), "{}", self.name);
        world.audit().await;
    }

    /// Lets a rival overtake at every effect in turn.
    pub async fn survives_races(&self, rival: Rival) {
        let world = std::sync::Arc::new(self.world().await);
        let effects = self.effects(&world).await;
        for k in 0..effects {
            let before = creates(&world);
            world.wire.reset();
            let shared = std::sync::Arc::clone(&world);
            world.wire.overtake_at(k, move || rival.overtake(std::sync::Arc::clone(&shared)));
            let job = self.play(&world, &format!("{rival:?} {k}")).await;
            let at = format!("{}: {rival:?} at effect {k}: {job:?}", self.name);
            world.audit().await;
            assert_eq!(creates(&world) - before, creates_of(&job), "{at}");
            let canceled = rival == Rival::Cancel && job.state() == State::Canceled;
            assert!(job.state() == self.ends || canceled, "{at}");
        }
    }
}

impl Rival {
    fn overtake(self, world: std::sync::Arc<World>) -> BoxFuture<'static, ()> {
        async move {
            match self {
                Self::Twin => {
                    if let Some((function, event)) = world.wire.invocations().pop() {
                        let _answer = world.stack.host.invoke(&function, event).await;
                    }
                }
                Self::Cancel => {
                    for job in world.jobs().list(&world.account, 1, None).await.unwrap_or_default() {
                        world.cancel(job.id()).await;
                    }
                }
                Self::Reconcile => {
                    world.clock.advance(CHECK_EVERY);
                    world.reconcile().await;
                }
            }
        }
        .boxed()
    }
}

/// What became of a job, and how long it took.
fn outline(job: &Job) -> (State, Vec<(Provider, Phase)>, Duration) {
    let attempts = job.attempts().iter().map(|attempt| (attempt.provider, attempt.phase)).collect();
    (job.state(), attempts, job.updated_at().since(job.created_at()))
}

/// Create calls that any provider was sent.
fn creates(world: &World) -> usize {
    Provider::ALL.iter().map(|provider| world.calls(*provider, CallKind::Create)).sum()
}

/// Create calls that a job may have made: one for each attempt, none twice.
fn creates_of(job: &Job) -> usize {
    job.attempts().len()
}
