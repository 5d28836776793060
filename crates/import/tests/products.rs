//! Records of other products, of made-up people: built-in mappings, and the files in docs/mappings.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it needs by failing")]

use trailseal_event::Event;
use trailseal_import::{Mapping, Records, Sample, read};

const OWN: [(&str, &str); 11] = [
    ("ecs", include_str!("../../../docs/mappings/ecs.toml")),
    ("slack", include_str!("../../../docs/mappings/slack.toml")),
    ("asana", include_str!("../../../docs/mappings/asana.toml")),
    ("teleport", include_str!("../../../docs/mappings/teleport.toml")),
    ("databricks", include_str!("../../../docs/mappings/databricks.toml")),
    ("github-enterprise", include_str!("../../../docs/mappings/github-enterprise.toml")),
    ("microsoft-365", include_str!("../../../docs/mappings/microsoft-365.toml")),
    ("openai", include_str!("../../../docs/mappings/openai.toml")),
    ("snowflake", include_str!("../../../docs/mappings/snowflake.toml")),
    ("zoom", include_str!("../../../docs/mappings/zoom.toml")),
    ("pgaudit", include_str!("../../../docs/mappings/pgaudit.toml")),
];

/// What an auditor asks of an event, as one line.
fn summary(event: &Event) -> String {
    let text = |field: &Option<String>| field.clone().unwrap_or_else(|| "-".to_owned());
    let actor = event.actor.clone().unwrap_or_default();
    let resource = event.resource.clone().unwrap_or_default();
    [
        event.action.clone(),
        event.category.name().into_owned(),
        event.outcome.map_or("-", |outcome| outcome.name()).to_owned(),
        event.time.map_or_else(|| "-".to_owned(), |time| time.to_string().replace(".000000", "")),
        text(&event.tenant),
        text(&actor.id),
        format!("{} {}", text(&resource.kind), text(&resource.id)),
        text(&event.context.ip),
    ]
    .join(" | ")
}

#[track_caller]
fn check(mapping: &Mapping, input: &str, expected: &[&str]) {
    let events: Vec<Event> =
        read(input.as_bytes(), mapping).map(|imported| imported.expect("a record").event).collect();
    assert_eq!(events.iter().map(summary).collect::<Vec<_>>(), expected, "{}", mapping.format());
    let mut records = Records::of(input.as_bytes(), mapping);
    let judgement = Sample::of(&mut records).judge(mapping, None);
    assert_eq!(judgement.doubt, None, "{}", mapping.format());
}

/// Also found out by `--from auto`.
#[track_caller]
fn check_built_in(format: &str, input: &str, expected: &[&str]) {
    check(Mapping::builtin(format).expect("built in"), input, expected);
    let mut records = Records::of_any(input.as_bytes());
    let (found, why) = Sample::of(&mut records).detect().unwrap_or_else(|| panic!("{format} is not found"));
    assert_eq!(found.format(), format, "{why}");
}

#[track_caller]
fn check_own(format: &str, input: &str, expected: &[&str]) {
    let text = OWN.iter().find(|(name, _)| *name == format).expect("a file").1;
    let mapping = Mapping::parse(text).unwrap_or_else(|error| panic!("{format}: {error}"));
    check(&mapping, input, expected);
}

#[test]
fn okta() {
    check_built_in(
        "okta",
        r#"[{"uuid":"u1","published":"2024-01-15T10:30:00.000Z","eventType":"user.session.start","version":"0","severity":"WARN","displayMessage":"User login to Okta","actor":{"id":"00u1","type":"User","alternateId":"chen@example.com","displayName":"Chen Wei"},"client":{"ipAddress":"192.0.2.7","userAgent":{"rawUserAgent":"Mozilla"}},"outcome":{"result":"FAILURE","reason":"INVALID_CREDENTIALS"},"target":null,"transaction":{"id":"t1"}},
        {"uuid":"u2","published":"2024-01-15T10:31:00.000Z","eventType":"group.user_membership.add","severity":"INFO","actor":{"id":"00u2","type":"User","alternateId":"ada@example.com"},"client":{"ipAddress":null},"outcome":{"result":"SUCCESS"},"target":[{"id":"00u1","type":"User"},{"id":"00g1","type":"UserGroup"}]}]"#,
        &[
            "user.session.start | authentication | failure | 2024-01-15T10:30:00Z | - | 00u1 | - - | 192.0.2.7",
            "group.user_membership.add | authorization | success | 2024-01-15T10:31:00Z | - | 00u2 | User 00u1 | -",
        ],
    );
}

#[test]
fn auth0() {
    check_built_in(
        "auth0",
        "{\"date\":\"2024-01-15T10:30:00.000Z\",\"type\":\"fp\",\"description\":\"Wrong email or password.\",\"client_id\":\"c1\",\"ip\":\"192.0.2.7\",\"user_id\":\"auth0|1\",\"user_name\":\"chen@example.com\",\"tenant_name\":\"acme\",\"log_id\":\"l1\"}\n\
         {\"log_id\":\"l2\",\"data\":{\"date\":\"2024-01-15T10:31:00.000Z\",\"type\":\"sapi\",\"description\":\"Update a client\",\"ip\":\"192.0.2.8\",\"user_id\":\"auth0|2\",\"log_id\":\"l2\",\"details\":{\"request\":{\"path\":\"/api/v2/clients/c1\"}}}}\n",
        &[
            "login.wrong_password | authentication | failure | 2024-01-15T10:30:00Z | acme | auth0|1 | client c1 | 192.0.2.7",
            "api.operation | config_change | success | 2024-01-15T10:31:00Z | - | auth0|2 | api /api/v2/clients/c1 | 192.0.2.8",
        ],
    );
}

#[test]
fn google_workspace() {
    check_built_in(
        "google_workspace",
        r#"{"kind":"admin#reports#activities","etag":"e","items":[{"kind":"admin#reports#activity","id":{"time":"2024-01-15T10:30:00.000Z","uniqueQualifier":"-7","applicationName":"drive","customerId":"C1"},"actor":{"email":"chen@example.com","profileId":"1"},"ipAddress":"192.0.2.7","events":[{"type":"access","name":"view","parameters":[{"name":"doc_id","value":"d1"},{"name":"doc_type","value":"spreadsheet"}]},{"type":"acl_change","name":"change_user_access","parameters":[{"name":"doc_id","value":"d1"}]}]}]}"#,
        &[
            "drive.view | data_access | success | 2024-01-15T10:30:00Z | C1 | chen@example.com | spreadsheet d1 | 192.0.2.7",
            "drive.change_user_access | authorization | success | 2024-01-15T10:30:00Z | C1 | chen@example.com | document d1 | 192.0.2.7",
        ],
    );
}

#[test]
fn entra_id() {
    check_built_in(
        "entra_id",
        r#"{"@odata.context":"x","value":[{"id":"s1","createdDateTime":"2024-01-15T10:30:00Z","userDisplayName":"Chen Wei","userPrincipalName":"chen@example.com","appId":"a1","appDisplayName":"Mail","ipAddress":"192.0.2.7","correlationId":"c1","status":{"errorCode":53003,"failureReason":"Blocked"}},
        {"id":"d1","category":"RoleManagement","result":"success","activityDisplayName":"Add member to role","activityDateTime":"2024-01-15T10:31:00Z","initiatedBy":{"user":{"id":"o2","userPrincipalName":"ada@example.com","ipAddress":"192.0.2.8"}},"targetResources":[{"id":"o1","type":"User","modifiedProperties":[{"displayName":"Role","oldValue":null,"newValue":"\"Admin\""}]}]}]}"#,
        &[
            "sign_in | authentication | denied | 2024-01-15T10:30:00Z | - | chen@example.com | application a1 | 192.0.2.7",
            "Add member to role | authorization | success | 2024-01-15T10:31:00Z | - | ada@example.com | User o1 | 192.0.2.8",
        ],
    );
}

#[test]
fn google_cloud() {
    check_built_in(
        "google_cloud",
        r#"{"insertId":"i1","logName":"projects/shop/logs/cloudaudit.googleapis.com%2Factivity","protoPayload":{"@type":"type.googleapis.com/google.cloud.audit.AuditLog","authenticationInfo":{"principalEmail":"chen@example.com"},"methodName":"SetIamPolicy","requestMetadata":{"callerIp":"192.0.2.7"},"resourceName":"projects/shop","serviceName":"cloudresourcemanager.googleapis.com","status":{"code":7,"message":"denied"}},"resource":{"type":"project","labels":{"project_id":"shop"}},"severity":"ERROR","timestamp":"2024-01-15T10:30:00Z"}"#,
        &[
            "SetIamPolicy | authorization | denied | 2024-01-15T10:30:00Z | shop | chen@example.com | project projects/shop | 192.0.2.7",
        ],
    );
}

#[test]
fn azure_activity() {
    check_built_in(
        "azure_activity",
        "{\"records\":[{\"time\":\"2024-01-15T10:30:00.0000000Z\",\"resourceId\":\"/SUBSCRIPTIONS/S1/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.COMPUTE/VIRTUALMACHINES/VM1\",\"operationName\":\"MICROSOFT.COMPUTE/VIRTUALMACHINES/DELETE\",\"category\":\"Administrative\",\"resultType\":\"Failure\",\"resultSignature\":\"Forbidden.403\",\"callerIpAddress\":\"192.0.2.7\",\"correlationId\":\"c1\",\"level\":\"Error\",\"identity\":{\"claims\":{\"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn\":\"chen@example.com\"}}}]}",
        &[
            "MICROSOFT.COMPUTE/VIRTUALMACHINES/DELETE | config_change | denied | 2024-01-15T10:30:00Z | S1 | chen@example.com | MICROSOFT.COMPUTE/VIRTUALMACHINES /SUBSCRIPTIONS/S1/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.COMPUTE/VIRTUALMACHINES/VM1 | 192.0.2.7",
        ],
    );
    check_built_in(
        "azure_activity",
        r#"{"value":[{"caller":"chen@example.com","eventDataId":"e1","operationName":{"value":"Microsoft.Compute/virtualMachines/write"},"resourceType":{"value":"Microsoft.Compute/virtualMachines"},"resourceId":"/subscriptions/s1/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm1","status":{"value":"Succeeded"},"eventTimestamp":"2024-01-15T10:30:00Z","httpRequest":{"clientIpAddress":"192.0.2.7"},"level":"Informational"}]}"#,
        &[
            "Microsoft.Compute/virtualMachines/write | config_change | success | 2024-01-15T10:30:00Z | s1 | chen@example.com | Microsoft.Compute/virtualMachines /subscriptions/s1/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm1 | 192.0.2.7",
        ],
    );
}

#[test]
fn vault() {
    check_built_in(
        "vault",
        "{\"time\":\"2024-01-15T10:30:00.123456789Z\",\"type\":\"response\",\"auth\":{\"display_name\":\"userpass-chen\",\"policies\":[\"default\"],\"entity_id\":\"e1\"},\"request\":{\"id\":\"r1\",\"operation\":\"read\",\"mount_type\":\"kv\",\"path\":\"secret/data/shop\",\"remote_address\":\"192.0.2.7\"},\"error\":\"1 error occurred: permission denied\"}\n",
        &[
            "vault.response.read | secret_access | denied | 2024-01-15T10:30:00.123456Z | - | e1 | kv secret/data/shop | 192.0.2.7",
        ],
    );
}

#[test]
fn auditd() {
    check_built_in(
        "auditd",
        "type=SYSCALL msg=audit(1705314600.243:24287): arch=c000003e syscall=2 success=no exit=-13 auid=1000 uid=1000 ses=1 comm=\"cat\" exe=\"/bin/cat\" key=\"shadow\"\n\
         type=CWD msg=audit(1705314600.243:24287): cwd=\"/home/chen\"\n\
         type=PATH msg=audit(1705314600.243:24287): item=0 name=\"/etc/shadow\" nametype=NORMAL\n\
         type=USER_LOGIN msg=audit(1705314601.000:24288): pid=1 uid=0 auid=4294967295 ses=2 msg='op=login acct=\"chen\" exe=\"/usr/sbin/sshd\" hostname=? addr=192.0.2.7 terminal=ssh res=failed'\n",
        &[
            "SYSCALL.shadow | custom:other | denied | 2024-01-15T10:30:00.243000Z | - | 1000 | file /etc/shadow | -",
            "USER_LOGIN.login | authentication | failure | 2024-01-15T10:30:01Z | - | chen | account chen | 192.0.2.7",
        ],
    );
}

#[test]
fn cef_and_syslog() {
    check_built_in(
        "cef",
        "CEF:0|Acme|Gate|1.0|100|login failed|7|src=192.0.2.7 suser=chen outcome=failure rt=1705314600000 dhost=web1\n",
        &[
            "login failed | authentication | failure | 2024-01-15T10:30:00Z | - | chen | host web1 | 192.0.2.7",
        ],
    );
    check_built_in(
        "syslog",
        "<86>1 2024-01-15T10:30:00Z web1 sshd 77 - - Failed password for chen\n",
        &["sshd | authentication | - | 2024-01-15T10:30:00Z | - | - | host web1 | -"],
    );
}

#[test]
fn slack_and_asana() {
    check_own(
        "slack",
        r#"{"entries":[{"id":"e1","date_create":1705314600,"action":"user_login_failed","actor":{"type":"user","user":{"id":"W1","name":"Chen Wei","email":"chen@example.com","team":"T1"}},"entity":{"type":"workspace","workspace":{"id":"T1","name":"Acme"}},"context":{"location":{"type":"enterprise","id":"E1"},"ua":"Mozilla","ip_address":"192.0.2.7"}}],"response_metadata":{"next_cursor":""}}"#,
        &[
            "user_login_failed | authentication | failure | 2024-01-15T10:30:00Z | E1 | W1 | workspace T1 | 192.0.2.7",
        ],
    );
    check_own(
        "asana",
        r#"{"data":[{"gid":"1","created_at":"2024-01-15T10:30:00.000Z","event_type":"team_member_added","event_category":"access_control","actor":{"actor_type":"user","gid":"77","name":"Chen Wei","email":"chen@example.com"},"resource":{"resource_type":"team","gid":"9","name":"Shop"},"context":{"context_type":"web","client_ip_address":"192.0.2.7"},"details":{}}],"next_page":null}"#,
        &["team_member_added | config_change | success | 2024-01-15T10:30:00Z | - | 77 | team 9 | 192.0.2.7"],
    );
}

#[test]
fn teleport_and_databricks() {
    check_own(
        "teleport",
        "{\"addr.remote\":\"192.0.2.7:50332\",\"cluster_name\":\"acme\",\"code\":\"T1000W\",\"error\":\"bad password\",\"event\":\"user.login\",\"success\":false,\"time\":\"2024-01-15T10:30:00.000Z\",\"uid\":\"u1\",\"user\":\"chen\"}\n\
         {\"code\":\"T1002I\",\"event\":\"user.create\",\"name\":\"ada\",\"time\":\"2024-01-15T10:31:00Z\",\"uid\":\"u2\",\"user\":\"chen\"}\n",
        &[
            "user.login | authentication | failure | 2024-01-15T10:30:00Z | acme | chen | - - | 192.0.2.7:50332",
            "user.create | config_change | success | 2024-01-15T10:31:00Z | - | chen | user ada | -",
        ],
    );
    check_own(
        "databricks",
        r#"{"version":"2.0","timestamp":1705314600000,"workspaceId":"7","sourceIPAddress":"192.0.2.7","userIdentity":{"email":"chen@example.com"},"serviceName":"clusters","actionName":"delete","requestId":"r1","requestParams":{"cluster_id":"c1"},"response":{"statusCode":403,"errorMessage":"no"}}"#,
        &[
            "clusters.delete | config_change | denied | 2024-01-15T10:30:00Z | 7 | chen@example.com | cluster c1 | 192.0.2.7",
        ],
    );
}

#[test]
fn github_enterprise_and_microsoft_365() {
    check_own(
        "github-enterprise",
        "<14>Jan 15 10:30:00 ghe-1 github_audit[7]: {\"action\":\"repo.destroy\",\"actor\":\"chen\",\"actor_ip\":\"192.0.2.7\",\"actor_id\":7,\"repo\":\"acme/shop\",\"org\":\"acme\",\"created_at\":1705314600000,\"from\":\"repositories#destroy\"}\n",
        &[
            "repo.destroy | data_change | success | 2024-01-15T10:30:00Z | acme | chen | repository acme/shop | 192.0.2.7",
        ],
    );
    let record = r#"{"CreationTime":"2024-01-15T10:30:00","Id":"i1","Operation":"FileDownloaded","OrganizationId":"o1","RecordType":6,"ResultStatus":"Succeeded","UserType":0,"Workload":"SharePoint","ClientIP":"192.0.2.7","UserId":"chen@example.com","ObjectId":"https://acme.example/shop.xlsx","ItemType":"File"}"#;
    let expected = [
        "FileDownloaded | data_access | success | 2024-01-15T10:30:00Z | o1 | chen@example.com | File https://acme.example/shop.xlsx | 192.0.2.7",
    ];
    check_own("microsoft-365", &format!("[{record}]"), &expected);
    let cell = record.replace('"', "\"\"");
    check_own(
        "microsoft-365",
        &format!(
            "CreationDate,UserIds,Operations,AuditData\n2024-01-15T10:30:00,chen@example.com,FileDownloaded,\"{cell}\"\n"
        ),
        &expected,
    );
}

#[test]
fn openai_and_snowflake() {
    check_own(
        "openai",
        r#"{"object":"list","data":[{"id":"audit_log-1","type":"project.archived","effective_at":1705314600,"actor":{"type":"api_key","api_key":{"type":"user","user":{"id":"user-1","email":"chen@example.com"}}},"project.archived":{"id":"proj_1"}}],"has_more":false}"#,
        &[
            "project.archived | config_change | success | 2024-01-15T10:30:00Z | - | user-1 | project proj_1 | -",
        ],
    );
    check_own(
        "snowflake",
        "EVENT_TIMESTAMP,EVENT_ID,EVENT_TYPE,USER_NAME,CLIENT_IP,IS_SUCCESS,ERROR_MESSAGE\n2024-01-15 10:30:00.000 +0000,1,LOGIN,CHEN,192.0.2.7,NO,INCORRECT_USERNAME_PASSWORD\n",
        &["LOGIN | authentication | failure | 2024-01-15T10:30:00Z | - | CHEN | - - | 192.0.2.7"],
    );
}

#[test]
fn zoom_and_pgaudit() {
    check_own(
        "zoom",
        r#"{"from":"2024-01-01","to":"2024-01-31","operation_logs":[{"time":"2024-01-15T10:30:00Z","operator":"chen@example.com","category_type":"user","action":"Delete","operation_detail":"Delete User ada@example.com"}]}"#,
        &[
            "user.Delete | admin | success | 2024-01-15T10:30:00Z | - | chen@example.com | user ada@example.com | -",
        ],
    );
    check_own(
        "pgaudit",
        "2024-01-15 10:30:00.000 UTC [77] chen@shop LOG:  AUDIT: SESSION,1,1,DDL,CREATE TABLE,TABLE,public.account,create table account (),<not logged>\n\
         2024-01-15 10:30:01.000 UTC [78] LOG:  checkpoint starting: time\n",
        &[
            "DDL.CREATE TABLE | config_change | success | 2024-01-15T10:30:00Z | shop | chen | TABLE public.account | -",
            "log | custom:other | - | 2024-01-15T10:30:01Z | - | - | - - | -",
        ],
    );
}

/// What follows is in real records that the public test data of detection rules and log pipelines have, of made-up people here.
#[test]
fn a_login_that_failed_is_no_success() {
    check_own(
        "microsoft-365",
        r#"{"CreationTime":"2024-01-15T10:30:00","Id":"m1","Operation":"UserLoginFailed","OrganizationId":"o1","ResultStatus":"Success","UserType":0,"Workload":"AzureActiveDirectory","ClientIP":"192.0.2.7","ObjectId":"app","UserId":"chen@example.com","LogonError":"InvalidUserNameOrPassword"}
        {"CreationTime":"2024-01-15T10:31:00","Id":"m2","Operation":"Update group.","OrganizationId":"o1","ResultStatus":"Success","UserType":2,"Workload":"AzureActiveDirectory","ClientIP":"<null>","ObjectId":"g1","UserId":"ada@example.com"}"#,
        &[
            "UserLoginFailed | authentication | failure | 2024-01-15T10:30:00Z | o1 | chen@example.com | AzureActiveDirectory app | 192.0.2.7",
            "Update group. | admin | success | 2024-01-15T10:31:00Z | o1 | ada@example.com | AzureActiveDirectory g1 | -",
        ],
    );
    check_built_in(
        "google_cloud",
        r#"{"insertId":"i1","logName":"organizations/1/logs/cloudaudit.googleapis.com%2Fdata_access","protoPayload":{"@type":"type.googleapis.com/google.cloud.audit.AuditLog","authenticationInfo":{"principalEmail":"chen@example.com"},"methodName":"google.login.LoginService.loginFailure","requestMetadata":{"callerIp":"192.0.2.7"},"resourceName":"organizations/1","serviceName":"login.googleapis.com"},"resource":{"type":"audited_resource"},"timestamp":"2024-01-15T10:30:00Z"}"#,
        &[
            "google.login.LoginService.loginFailure | authentication | failure | 2024-01-15T10:30:00Z | - | chen@example.com | audited_resource organizations/1 | 192.0.2.7",
        ],
    );
    check_built_in(
        "entra_id",
        r#"{"time":"2024-01-15T10:30:00.123Z","category":"SignInLogs","operationName":"Sign-in activity","tenantId":"t1","resultType":"0","callerIpAddress":"<null>","properties":{"userPrincipalName":"chen@example.com","ipAddress":"192.0.2.7","appId":"a1"}}
        {"time":"2024-01-15T10:31:00Z","category":"SignInLogs","operationName":"Sign-in activity","tenantId":"t1","resultType":"50126","callerIpAddress":"<null>","properties":{"userPrincipalName":"chen@example.com","appId":"a1"}}"#,
        &[
            "sign_in | authentication | success | 2024-01-15T10:30:00.123000Z | t1 | chen@example.com | application a1 | 192.0.2.7",
            "sign_in | authentication | failure | 2024-01-15T10:31:00Z | t1 | chen@example.com | application a1 | -",
        ],
    );
}

#[test]
fn who_acted_is_the_person_rather_than_the_program_or_the_account() {
    check_built_in(
        "auth0",
        r#"{"date":"2024-01-15T10:30:00.000Z","type":"fu","client_id":"c1","client_name":"Shop","ip":"192.0.2.7","user_name":"chen@example.com","log_id":"l1"}
        {"log_id":"l2","data":{"date":"2024-01-15T10:31:00.000Z","type":"sapi","client_id":"c2","log_id":"l2","details":{"request":{"path":"/api/v2/clients","auth":{"user":{"user_id":"auth0|7","email":"ada@example.com"}}}}}}
        {"date":"2024-01-15T10:32:00.000Z","type":"seccft","client_id":"c3","client_name":"Job","log_id":"l3"}"#,
        &[
            "login.unknown_user | authentication | failure | 2024-01-15T10:30:00Z | - | chen@example.com | client c1 | 192.0.2.7",
            "api.operation | config_change | success | 2024-01-15T10:31:00Z | - | auth0|7 | api /api/v2/clients | -",
            "token.client_credentials | authentication | success | 2024-01-15T10:32:00Z | - | c3 | client c3 | -",
        ],
    );
    check_built_in(
        "auditd",
        "type=USER_START msg=audit(1705314600.000:1): pid=4 uid=0 auid=1700 ses=7 msg='op=PAM:session_open acct=\"root\" exe=\"/usr/bin/sudo\" hostname=? addr=? terminal=? res=success'\n\
         type=USER_AUTH msg=audit(1705314601.000:2): pid=4 uid=0 auid=4294967295 ses=4294967295 msg='op=PAM:authentication acct=\"chen\" exe=\"/usr/sbin/sshd\" hostname=h addr=192.0.2.7 terminal=ssh res=failed'\n\
         type=SYSCALL msg=audit(1705314602.000:3): arch=c000003e syscall=59 success=yes exit=0 auid=1700 uid=0 ses=7 comm=\"ls\" exe=\"/bin/ls\" key=(null)\n\
         type=USER_ACCT msg=audit(1170021601.340:4): user pid=1 uid=0 auid=4294967295 msg='PAM: accounting acct=root : exe=\"/usr/sbin/crond\" (hostname=?, addr=?, terminal=cron res=success)'\n",
        &[
            "USER_START.PAM:session_open | authentication | success | 2024-01-15T10:30:00Z | - | 1700 | account root | -",
            "USER_AUTH.PAM:authentication | authentication | failure | 2024-01-15T10:30:01Z | - | chen | account chen | 192.0.2.7",
            "SYSCALL | custom:other | success | 2024-01-15T10:30:02Z | - | 1700 | - - | -",
            "USER_ACCT | authorization | success | 2007-01-28T22:00:01.340000Z | - | root | account root | -",
        ],
    );
}

#[test]
fn resources_are_what_was_acted_on() {
    check_built_in(
        "azure_activity",
        r#"{"time":"2024-01-15T10:30:00Z","resourceId":"/subscriptions/s1/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v/keys/k","operationName":"Microsoft.KeyVault/vaults/keys/purge/action","resultType":"Success","caller":"chen@example.com"}
        {"time":"2024-01-15T10:31:00Z","resourceId":"/subscriptions/s1/resourceGroups/g","operationName":"Microsoft.Resources/subscriptions/resourceGroups/delete","resultType":"Success","identity":{"claims":{"name":"Ada"}}}
        {"time":"2024-01-15T10:32:00Z","resourceId":"/subscriptions/s1/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a/providers/Microsoft.Insights/diagnosticSettings/d","operationName":"Microsoft.Insights/diagnosticSettings/delete","resultType":"Success"}"#,
        &[
            "Microsoft.KeyVault/vaults/keys/purge/action | config_change | success | 2024-01-15T10:30:00Z | s1 | chen@example.com | Microsoft.KeyVault/vaults/keys /subscriptions/s1/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v/keys/k | -",
            "Microsoft.Resources/subscriptions/resourceGroups/delete | config_change | success | 2024-01-15T10:31:00Z | s1 | Ada | Microsoft.Resources/subscriptions/resourceGroups /subscriptions/s1/resourceGroups/g | -",
            "Microsoft.Insights/diagnosticSettings/delete | config_change | success | 2024-01-15T10:32:00Z | s1 | - | Microsoft.Insights/diagnosticSettings /subscriptions/s1/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a/providers/Microsoft.Insights/diagnosticSettings/d | -",
        ],
    );
    check_own(
        "databricks",
        r#"{"timestamp":1705314600000,"workspaceId":"7","serviceName":"accounts","actionName":"IpAccessDenied","userIdentity":{"email":"chen@example.com"},"requestParams":{"path":"/login"},"response":{"statusCode":403},"sourceIPAddress":"192.0.2.7"}
        {"timestamp":1705314600000,"workspaceId":"7","serviceName":"secrets","actionName":"getSecret","userIdentity":{"email":"chen@example.com"},"requestParams":{"scope":"prod","key":"db"},"response":{"statusCode":200},"sourceIPAddress":"192.0.2.7"}"#,
        &[
            "accounts.IpAccessDenied | admin | denied | 2024-01-15T10:30:00Z | 7 | chen@example.com | - - | 192.0.2.7",
            "secrets.getSecret | secret_access | success | 2024-01-15T10:30:00Z | 7 | chen@example.com | secret prod/db | 192.0.2.7",
        ],
    );
    check_built_in(
        "kubernetes",
        r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"k1","stage":"ResponseComplete","verb":"create","user":{"username":"chen@example.com"},"sourceIPs":["192.0.2.7"],"objectRef":{"resource":"pods","namespace":"shop","apiVersion":"v1"},"requestObject":{"metadata":{"generateName":"job-"}},"responseObject":{"metadata":{"name":"job-x7k2","namespace":"shop"}},"responseStatus":{"code":201},"requestReceivedTimestamp":"2024-01-15T10:30:00.000000Z"}"#,
        &[
            "pods.create | data_change | success | 2024-01-15T10:30:00Z | - | chen@example.com | pods shop/job-x7k2 | 192.0.2.7",
        ],
    );
    check_built_in(
        "cef",
        "CEF:0|Acme|Mail|14.2|LOG|Consolidated Log|5|rt=Jan 15 2024 10:30:00 UTC act=DELIVERED sourceUserName=chen@example.com sourceAddress=192.0.2.7 destinationHostName=mx1 end=Jan 15 2024 10:31:00 UTC\n",
        &[
            "DELIVERED | custom:other | - | 2024-01-15T10:30:00Z | - | chen@example.com | host mx1 | 192.0.2.7",
        ],
    );
    check_built_in(
        "google_workspace",
        r#"{"kind":"admin#reports#activity","id":{"time":"2024-01-15T10:30:00.000Z","uniqueQualifier":"-7","applicationName":"groups_enterprise","customerId":"C1"},"actor":{"callerType":"USER","email":"chen@example.com"},"events":[{"type":"moderator_action","name":"remove_member","parameters":[{"name":"group_id","value":"g@example.com"},{"name":"member_id","value":"ada@example.com"}]}]}"#,
        &[
            "groups_enterprise.remove_member | authorization | success | 2024-01-15T10:30:00Z | C1 | chen@example.com | group g@example.com | -",
        ],
    );
}

#[test]
fn what_is_said_of_a_success_is_no_error() {
    let error_of = |format: &str, input: &str| {
        let mapping = Mapping::builtin(format).expect("built in");
        let first = read(input.as_bytes(), mapping).next().expect("a record").expect("a good one");
        first.event.error
    };
    let okta = |result: &str| {
        format!(
            r#"{{"uuid":"u1","published":"2024-01-15T10:30:00.000Z","eventType":"user.mfa.factor.deactivate","actor":{{"id":"00u1"}},"outcome":{{"result":"{result}","reason":"User reset a factor"}}}}"#
        )
    };
    assert_eq!(error_of("okta", &okta("SUCCESS")), None);
    assert_eq!(error_of("okta", &okta("FAILURE")).as_deref(), Some("User reset a factor"));
    let cloud = |code: u8, message: &str| {
        format!(
            r#"{{"insertId":"i1","protoPayload":{{"methodName":"connect","serviceName":"s","status":{{"code":{code},"message":"{message}"}}}},"timestamp":"2024-01-15T10:30:00Z"}}"#
        )
    };
    assert_eq!(error_of("google_cloud", &cloud(0, "OK")), None);
    assert_eq!(error_of("google_cloud", &cloud(7, "no")).as_deref(), Some("no"));
}

#[test]
fn elastic_common_schema() {
    check_own(
        "ecs",
        r#"{"@timestamp":"2024-01-15T10:30:00.000Z","ecs":{"version":"8.0"},"log":{"level":"info"},"event":{"action":"user_login","category":["authentication"],"type":["start"],"outcome":"failure","duration":2500000},"user":{"id":"1700","name":"chen","roles":["admin"]},"source":{"ip":"192.0.2.7"},"host":{"name":"web1"}}
        {"@timestamp":"2024-01-15T10:31:00.000Z","ecs.version":"8.0","log.level":"error","event":{"action":"deleted-user-account","category":["iam"],"type":["user","deletion"],"outcome":"success"},"user":{"name":"ada","target":{"id":"1700","name":"chen"}}}
        {"@timestamp":"2024-01-15T10:32:00.000Z","event":{"module":"system","code":"4663","category":["file"],"type":["access"],"outcome":"unknown"},"user":{"name":"ada"},"file":{"path":"/etc/shadow"}}"#,
        &[
            "user_login | authentication | failure | 2024-01-15T10:30:00Z | - | 1700 | - - | 192.0.2.7",
            "deleted-user-account | admin | success | 2024-01-15T10:31:00Z | - | ada | user 1700 | -",
            "system.4663 | data_access | unknown | 2024-01-15T10:32:00Z | - | ada | file /etc/shadow | -",
        ],
    );
}

#[test]
fn what_a_device_did_with_it_is_the_outcome() {
    check_built_in(
        "cef",
        "CEF:0|Acme|Gate|1|17|Admin login|7|rt=1705314600000 suser=chen src=192.0.2.7 act=denied\n\
         CEF:0|Acme|Gate|1|18|Traffic|3|rt=1705314600000 suser=chen src=192.0.2.7 dst=192.0.2.8 act=Accept\n\
         CEF:0|Acme|Gate|1|19|Traffic|3|rt=1705314600000 suser=chen act=Accept outcome=failure\n",
        &[
            "denied | authentication | denied | 2024-01-15T10:30:00Z | - | chen | - - | 192.0.2.7",
            "Accept | custom:other | success | 2024-01-15T10:30:00Z | - | chen | host 192.0.2.8 | 192.0.2.7",
            "Accept | custom:other | failure | 2024-01-15T10:30:00Z | - | chen | - - | -",
        ],
    );
}

#[test]
fn no_mapping_claims_what_the_record_does_not_say() {
    let of = |format: &str, input: &str| {
        let mapping = Mapping::builtin(format).expect("built in");
        let event = read(input.as_bytes(), mapping).next().expect("a record").expect("a good one").event;
        let actor = event.actor.and_then(|actor| actor.id).unwrap_or_default();
        let outcome = event.outcome.map_or("-", |outcome| outcome.name());
        format!("{} {outcome} {actor}", event.category.name())
    };
    let cef = |name: &str, act: &str| of("cef", &format!("CEF:0|A|B|1|1|{name}|3|suser=chen act={act}\n"));
    for act in ["Drop Table", "Block User", "Allowlist entry removed", "Permitted ports changed"] {
        assert_eq!(cef("Traffic", act), "custom:other - chen", "{act}");
    }
    assert_eq!(cef("Traffic", "Blocked"), "custom:other denied chen");
    assert_eq!(cef("Login page changed", "edit"), "custom:other - chen");
    assert_eq!(cef("Authentication policy changed", "edit"), "custom:other - chen");
    for name in ["Login failed for chen", "UserLogin", "User logged in", "Failed logon from console"] {
        assert_eq!(cef(name, "x"), "authentication - chen", "{name}");
    }
    for (auid, actor) in
        [("u", "u"), ("un", "un"), ("unsworth", "unsworth"), ("7up", "7up"), ("unset", "1700")]
    {
        let line = format!("type=SYSCALL msg=audit(1705314602.0:3): success=yes auid=1700 AUID=\"{auid}\"\n");
        assert_eq!(of("auditd", &line), format!("custom:other success {actor}"), "{auid}");
    }
    let disabled = r#"{"protoPayload":{"methodName":"google.login.LoginService.accountDisabledPasswordLeak","serviceName":"s","authenticationInfo":{"authoritySelector":"x"}}}"#;
    assert_eq!(of("google_cloud", disabled), "authentication success ");
}
