//! The ceiling of the benchmark: HTTP, signature and form like the gateway, and no database.

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use onhook::twilio::{
    form::Form,
    signature::{Origins, Request, Verdict},
};
use url::Url;

/// What every worker knows.
struct Known {
    origins: Origins,
    token: String,
}

async fn status(request: HttpRequest, body: web::Bytes, known: web::Data<Known>) -> HttpResponse {
    let path_and_query = request.uri().path_and_query().map_or("/", |p| p.as_str());
    let Ok(form) = Form::parse(&body) else { return HttpResponse::BadRequest().finish() };
    let signed = Request { origins: &known.origins, path_and_query, form: Some(&form) };
    let header = request.headers().get("x-twilio-signature").and_then(|h| h.to_str().ok());
    match signed.verify([known.token.as_bytes()], header) {
        Verdict::Verified => HttpResponse::NoContent().finish(),
        Verdict::Missing | Verdict::Malformed | Verdict::Mismatch => HttpResponse::Forbidden().finish(),
    }
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::var("BENCH_LISTEN")?;
    let public_url: Url = std::env::var("ONHOOK_PUBLIC_URL")?.parse()?;
    let token = std::env::var("TWILIO_AUTH_TOKEN")?;
    let known = web::Data::new(Known { origins: Origins::of_public_url(&public_url), token });
    let make = move || {
        App::new()
            .app_data(known.clone())
            .route("/webhooks/twilio/status", web::post().to(status))
            .route("/readyz", web::get().to(HttpResponse::Ok))
    };
    HttpServer::new(make).bind(listen)?.run().await?;
    Ok(())
}
