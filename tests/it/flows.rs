//! Flows.

use harness::story::STORIES;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_story_ends_as_it_should_when_nothing_comes_between() {
    for story in STORIES {
        let world = story.world().await;
        let job = story.play(&world, "once").await;
        assert_eq!(job.state, story.ends, "{}: {job:?}", story.name);
        world.audit().await;
    }
}
