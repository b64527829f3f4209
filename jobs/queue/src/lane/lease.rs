//! Renews what this consumer holds, and reads Redis's clock.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use tracing::warn;

use super::Lane;
use crate::{
    connection::{QueueError, is_group_missing},
    hub::Hub,
    reply, script,
};

pub(super) async fn run<J>(hub: Arc<Hub<J>>, lane: Arc<Lane>) {
    let mut link = lane.link(&hub.core, "renewing", lane.beat());
    loop {
        let step = async {
            let mut connection = link.get().await?;
            let time = redis::cmd("TIME").query_async(&mut connection).await?;
            hub.set_clock(reply::time(time)?);
            renew(&hub, &lane, &mut connection).await
        };
        match step.await {
            Ok(()) => {
                link.succeeded();
                tokio::time::sleep(lane.beat()).await;
            }
            Err(error) => link.failed(&error).await,
        }
    }
}

async fn renew<J>(
    hub: &Hub<J>,
    lane: &Lane,
    connection: &mut MultiplexedConnection,
) -> Result<(), QueueError> {
    let lost = lane.lost();
    if lost > 0 {
        warn!(queue = hub.core.name, "{lost} running jobs have become somebody else's");
    }
    let asked = hub.redis_time();
    for chunk in lane.renewable().chunks(script::CHUNK) {
        let mut call = script::call(&script::RENEW, &[&lane.keys.stream]);
        call.arg(&lane.group).arg(&lane.consumer);
        for id in chunk {
            call.arg(script::Arg(*id));
        }
        let answer = script::run(&script::RENEW, &call, connection).await.map_err(QueueError::from);
        let lost = match answer {
            Ok(answer) => lane.others(answer)?,
            Err(error) if is_group_missing(&error) => chunk.to_vec(),
            Err(error) => return Err(error),
        };
        lane.renewed(chunk, &lost, asked);
    }
    Ok(())
}
