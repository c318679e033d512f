//! Crash, failure, repeat and race runs over every story.

use harness::story::{
    BUDGET_REFUND, FAILOVER, FAILOVER_AFTER_ACCEPTANCE, FAILURE_WITH_REFUND, Rival, STILL,
    SUCCESS_BY_POLLING, SUCCESS_BY_WEBHOOK,
};

macro_rules! stories {
    ($($story:ident => $module:ident),* $(,)?) => {$(
        mod $module {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn survives_a_crash_at_every_effect() {
                $story.survives_crashes().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn survives_an_error_at_every_effect() {
                $story.survives_failures().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn survives_a_lost_answer_at_every_effect() {
                $story.survives_lost_answers().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn survives_a_cut_wire_at_every_kind_of_call() {
                $story.survives_cut_wires().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn survives_every_message_twice_and_in_reverse() {
                $story.survives_repeats().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn survives_a_twin_at_every_effect() {
                $story.survives_races(Rival::Twin).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn survives_a_cancel_at_every_effect() {
                $story.survives_races(Rival::Cancel).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn survives_reconcile_at_every_effect() {
                $story.survives_races(Rival::Reconcile).await;
            }
        }
    )*};
}

stories! {
    SUCCESS_BY_WEBHOOK => success_by_webhook,
    SUCCESS_BY_POLLING => success_by_polling,
    FAILOVER => failover,
    FAILOVER_AFTER_ACCEPTANCE => failover_after_acceptance,
    FAILURE_WITH_REFUND => failure_with_refund,
    STILL => still,
    BUDGET_REFUND => budget_refund,
}
