//! The example that the documentation shows is run.

use crate::support::eventually;
use crate::support::herald::Story;

#[path = "../../docs/examples/send.rs"]
#[expect(unreachable_pub, reason = "it stands there as a program of its own")]
mod documented;

#[tokio::test]
async fn the_documented_program_sends_in_each_way() {
    let story = Story::begin().await;
    let _catcher = story.mail_catcher().await;
    documented::send(&story.database_url, &story.redis_url).await.unwrap();
    let workers = story.work().await;
    story.drain().await;
    let count = "select count(*) from herald.message where status = 'pending'";
    eventually("the messages", async || story.count(count).await == 3).await;
    assert_eq!(story.count("select count(*) from herald.message where status = 'cancelled'").await, 2);
    assert_eq!(story.count("select count(*) from herald.delivery").await, 1);
    workers.stop().await;
}
