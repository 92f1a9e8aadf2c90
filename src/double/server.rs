//! The double's REST API on a port: a server of its own, with nothing of the gateway in it.

use super::{Manner, Question, Shared};
use crate::clock::SharedClock;
use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    body::{BodySize, MessageBody},
    dev::{Server, ServerHandle},
    http::{StatusCode, header},
    web::{self, Bytes, Data},
};
use std::{
    io,
    net::TcpListener,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

struct Api {
    double: Shared,
    clock: SharedClock,
}

/// Stops a server.
pub type Handle = ServerHandle;

/// Serves the REST API of a double. Spawn what it answers; its `handle` stops it.
pub fn serve(listener: TcpListener, double: Shared, clock: SharedClock) -> io::Result<Server> {
    let api = Data::new(Api { double, clock });
    let make = move || {
        App::new()
            .app_data(api.clone())
            .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
            .default_service(web::to(answer))
    };
    Ok(HttpServer::new(make).workers(1).disable_signals().shutdown_timeout(1).listen(listener)?.run())
}

async fn answer(request: HttpRequest, body: Bytes, api: Data<Api>) -> HttpResponse {
    let question = Question {
        method: request.method().as_str(),
        path: request.path(),
        query: request.query_string(),
        authorization: request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()),
        body: &body,
    };
    let now_ms = api.clock.now_ms();
    let Some(answer) = api.double.with(|double| double.ask(&question, now_ms)) else {
        // Longer than anybody waits who has set a time-out.
        tokio::time::sleep(SILENCE).await;
        return HttpResponse::GatewayTimeout().finish();
    };
    match answer.manner {
        Manner::Whole => {}
        Manner::After(by_ms) => tokio::time::sleep(Duration::from_millis(by_ms.unsigned_abs())).await,
        Manner::Cut => return HttpResponse::with_body(StatusCode::OK, CutOff).map_into_boxed_body(),
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"Twilio API\""));
    }
    if let Some(seconds) = answer.retry_after_s {
        response.insert_header((header::RETRY_AFTER, seconds.to_string()));
    }
    response.json(answer.body)
}

/// A body that fails instead of coming: the connection ends with it.
struct CutOff;

impl MessageBody for CutOff {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(1)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
        Poll::Ready(Some(Err(io::Error::other("the connection is cut"))))
    }
}

const BODY_BYTES_MAX: usize = 64 * 1024;
const SILENCE: Duration = Duration::from_secs(120);
