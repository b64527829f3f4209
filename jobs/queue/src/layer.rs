use std::{
    any::Any,
    fmt,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use apalis_core::{error::BoxDynError, task::Task};
use futures::{FutureExt, future::BoxFuture};
use tower::{Layer, Service};

use crate::{
    Failure, Job,
    consumer::Shape,
    hub::{Hub, Ticket},
};

/// The middleware by which a consumer learns how its tasks ended. It stands outside of the worker's own layers, so
/// that their errors count too, and catches panics.
pub struct ResultLayer<J, S> {
    hub: Arc<Hub<J>>,
    shape: PhantomData<fn() -> S>,
}

/// What [`ResultLayer`] makes of a service.
pub struct ResultService<Svc, J, S> {
    inner: Svc,
    hub: Arc<Hub<J>>,
    shape: PhantomData<fn() -> S>,
}

impl<J, S> ResultLayer<J, S> {
    pub(crate) fn new(hub: Arc<Hub<J>>) -> Self {
        Self { hub, shape: PhantomData }
    }
}

impl<Svc, J, S> Layer<Svc> for ResultLayer<J, S> {
    type Service = ResultService<Svc, J, S>;

    fn layer(&self, inner: Svc) -> Self::Service {
        ResultService { inner, hub: self.hub.clone(), shape: PhantomData }
    }
}

impl<Svc, J, S> Service<Task<S::Args>> for ResultService<Svc, J, S>
where
    J: Job,
    S: Shape<J>,
    Svc: Service<Task<S::Args>, Response = S::Response>,
    Svc::Error: Into<BoxDynError>,
    Svc::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<S::Response, BoxDynError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, task: Task<S::Args>) -> Self::Future {
        let run =
            Run { hub: self.hub.clone(), tickets: S::tickets(&task), began: Instant::now(), ended: false };
        let called = catch_unwind(AssertUnwindSafe(|| self.inner.call(task)));
        Box::pin(async move {
            let ended = match called {
                Ok(handling) => AssertUnwindSafe(handling).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            let result = match ended {
                Ok(result) => result.map_err(Into::into),
                Err(panic) => Err(format!("panicked: {}", panic_text(panic.as_ref())).into()),
            };
            run.end::<S>(&result);
            result
        })
    }
}

/// A handler's run. One that is dropped before its end gives its entries back.
struct Run<J> {
    hub: Arc<Hub<J>>,
    tickets: Vec<Ticket>,
    began: Instant,
    ended: bool,
}

impl<J: Job> Run<J> {
    fn end<S: Shape<J>>(mut self, result: &Result<S::Response, BoxDynError>) {
        self.ended = true;
        let tickets = self.tickets.iter().copied();
        let failures = match result {
            Ok(response) => S::failures(response, self.tickets.len()),
            Err(error) => Err(Failure::of(error)),
        };
        match failures {
            Ok(failures) => self.hub.settle(tickets.zip(failures)),
            Err(failure) => self.hub.settle(tickets.map(|ticket| (ticket, Some(&failure)))),
        }
    }
}

impl<J> Drop for Run<J> {
    fn drop(&mut self) {
        if !self.ended {
            self.hub.figures.interrupted.increment(self.tickets.len() as u64);
            self.hub.give_back(self.tickets.iter().copied());
        }
        self.hub.left(self.tickets.len(), self.began.elapsed());
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}

impl<J, S> Clone for ResultLayer<J, S> {
    fn clone(&self) -> Self {
        Self::new(self.hub.clone())
    }
}

impl<Svc: Clone, J, S> Clone for ResultService<Svc, J, S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), hub: self.hub.clone(), shape: PhantomData }
    }
}

impl<J, S> fmt::Debug for ResultLayer<J, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultLayer").field("queue", &self.hub.core.name).finish()
    }
}

impl<Svc, J, S> fmt::Debug for ResultService<Svc, J, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultService").field("queue", &self.hub.core.name).finish_non_exhaustive()
    }
}
