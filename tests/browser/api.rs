//! The page of the API.

use fantoccini::Locator;
use herald_jobs::clock::Clock;
use herald_web::access::NewToken;

use super::stage::Stage;
use crate::support::eventually;

#[tokio::test]
async fn the_page_of_the_api_shows_each_request_and_sends_it() {
    let stage = Stage::start().await;
    let token = NewToken { sender: "report_task".into(), ..NewToken::default() };
    let token =
        herald_web::access::new_api_token(&stage.pool, &Clock::system(), token, "test").await.unwrap();
    let page = &stage.client;
    stage.go("/api").await;
    let send = Locator::XPath("//details[summary/code[.='POST /api/v1/messages']]");
    let request = page.wait().for_element(send).await.unwrap();
    assert!(page.find_all(Locator::Css("details")).await.unwrap().len() > 20);
    page.find(Locator::Id("token")).await.unwrap().send_keys(&token).await.unwrap();
    request.find(Locator::Css("summary")).await.unwrap().click().await.unwrap();
    assert!(request.text().await.unwrap().contains("The username of an active user."));
    request.find(Locator::Css("button")).await.unwrap().click().await.unwrap();
    let answer = request.find(Locator::Css("pre")).await.unwrap();
    eventually("the answer", async || answer.text().await.unwrap().starts_with("202 Accepted")).await;
    let id = answer.text().await.unwrap().split('"').nth(3).unwrap().to_owned();

    // What is in the address is put there.
    let read = Locator::XPath("//details[summary/code[.='GET /api/v1/messages/{id}']]");
    let request = page.find(read).await.unwrap();
    request.find(Locator::Css("summary")).await.unwrap().click().await.unwrap();
    request.find(Locator::Css("input[name=id]")).await.unwrap().send_keys(&id).await.unwrap();
    request.find(Locator::Css("button")).await.unwrap().click().await.unwrap();
    let answer = request.find(Locator::Css("pre")).await.unwrap();
    eventually("the answer", async || answer.text().await.unwrap().contains("Your report is ready.")).await;
    stage.screenshot("api").await;
    stage.end().await;
}
