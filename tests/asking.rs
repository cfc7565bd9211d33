//! Commands that ask the running proxy something, and what a user reads then.

use serde_json::json;

use crate::support::{Authority, FakeDoor, Folder};

#[tokio::test]
async fn the_configuration_in_force_and_what_is_logged_are_shown() {
    let (folder, door) = a_folder_with_a_door();
    let text = "[log]\nlevel = \"info\"\n";
    door.answers("GET /api/v1/config", json!({"file": null, "text": text}));
    door.answers("GET /api/v1/log", json!({"level": "info"}));
    door.answers("PUT /api/v1/log", json!({"level": "warn"}));
    assert_eq!(folder.ask(&["config"]).await.stdout, text);
    assert_eq!(folder.ask(&["log"]).await.stdout, "info\n");
    assert_eq!(folder.ask(&["log", "warn"]).await.stdout, "warn\n");
    assert_eq!(door.heard()[2].body, json!({"level": "warn"}));
}

#[tokio::test]
async fn a_proxy_that_is_far_away_is_shown_the_token() {
    let (door, url) = FakeDoor::on_loopback().await;
    door.answers("GET /api/v1/log", json!({"level": "info"}));
    let folder = Folder::new();
    folder.write("token", "from-a-file\n");
    let asked = ["log", "--admin", &url];
    let outcome = folder.run_with(("LONGWIRE_TOKEN", "from-the-environment"), &asked);
    outcome.await.is_success_with(&["info"]);
    let named = ["log", "--admin", &url, "--token-file", "token"];
    let outcome = folder.run_with(("LONGWIRE_TOKEN", "from-the-environment"), &named);
    outcome.await.is_success_with(&["info"]);
    folder.run(&asked).await.is_success_with(&["info"]);
    let shown = door.heard().into_iter().map(|heard| heard.authorization);
    let shown: Vec<_> = shown.map(Option::unwrap_or_default).collect();
    assert_eq!(
        shown,
        ["Bearer from-the-environment", "Bearer from-a-file", ""]
    );
}

#[tokio::test]
async fn a_proxy_behind_tls_has_to_prove_its_name() {
    let authority = Authority::new();
    let (door, url) = FakeDoor::over_tls(&authority.certify(&["127.0.0.1"])).await;
    door.answers("GET /api/v1/log", json!({"level": "info"}));
    let asked = ["log", "--admin", &url];
    let file = authority.file();
    let trusted = ("SSL_CERT_FILE", file.to_str().unwrap());
    let outcome = Folder::new().run_with(trusted, &asked).await;
    outcome.is_success_with(&["info"]);

    let other = Authority::new().file();
    let distrusted = ("SSL_CERT_FILE", other.to_str().unwrap());
    let outcome = Folder::new().run_with(distrusted, &asked).await;
    outcome.is_failure_with(1, &[&url, "is not to be trusted"]);
}

#[tokio::test]
async fn who_shows_no_token_is_told_how() {
    let (door, url) = FakeDoor::on_loopback().await;
    let refusal = json!({"error": "show the token"});
    door.answers_with("GET /api/v1/log", 401, refusal);
    let outcome = Folder::new().run(&["log", "--admin", &url]).await;
    outcome.is_failure_with(1, &["show the token\n", "--token-file", "$LONGWIRE_TOKEN"]);
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_no_panic() {
    let (folder, door) = a_folder_with_a_door();
    door.answers("GET /api/v1/log", json!({}));
    let outcome = folder.ask(&["log"]).await;
    outcome.is_failure_with(
        1,
        &["door.sock says of /api/v1/log", "missing field `level`"],
    );
}

fn a_folder_with_a_door() -> (Folder, FakeDoor) {
    let folder = Folder::new();
    let door = FakeDoor::at(&folder.path().join("door.sock"));
    (folder, door)
}
