/* Each built-in connector, set up as its users would, down to the bytes that its calls carry. */
#include "room.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "auth/oauth_profile.h"
#include "auth/obtain.h"
#include "catalog/setup.h"

#define CLIENT "{\"client_id\":\"id\",\"client_secret\":\"se\"}"
#define BEARER { { INJECT_HEADER, "Authorization", "Bearer tok" } } /* of what was granted */
#define JSON { { "Accept", "application/json" } }
#define ODATA { { "Accept", "application/json" }, { "OData-MaxVersion", "4.0" }, { "OData-Version", "4.0" } }

struct wire {
    enum inject_where where;
    const char *name, *value;
};

static const struct example {
    const char *connector, *auth, *fields, *credentials, *domain; /* domain: typed, or NULL */
    const char *base_url, *allowed, *verify;
    struct wire injected[4];
    const char *headers[4][2];
    /* Of OAuth (token NULL: another kind): the URLs and scopes to ask for; part of the first request, NULL when a person makes it.
     */
    const char *authorization, *token, *scopes, *sent;
} examples[] = {
    { "zendesk",
      "basic",
      "{\"subdomain\":\"acme\"}",
      "{\"email\":\"joe@acme.com\",\"api_token\":\"tok123\\n\"}",
      NULL,
      "https://acme.zendesk.com",
      "acme.zendesk.com",
      "/api/v2/users/me.json",
      { { INJECT_HEADER, "Authorization", "Basic am9lQGFjbWUuY29tL3Rva2VuOnRvazEyMw==" } },
      { { NULL } } },
    { "zendesk",
      "basic",
      "{\"base_url\":\"https://acme.zendesk.com\"}",
      "{\"username\":\"joe@acme.com/token\",\"password\":\"tok123\"}",
      NULL,
      "https://acme.zendesk.com",
      "acme.zendesk.com",
      "/api/v2/users/me.json",
      { { INJECT_HEADER, "Authorization", "Basic am9lQGFjbWUuY29tL3Rva2VuOnRvazEyMw==" } },
      { { NULL } } },
    { "github",
      "pat",
      NULL,
      "{\"token\":\"github_pat_11AA\"}",
      NULL,
      "https://api.github.com",
      "api.github.com",
      "/user",
      { { INJECT_HEADER, "Authorization", "Bearer github_pat_11AA" } },
      { { "Accept", "application/vnd.github+json" }, { "X-GitHub-Api-Version", "2022-11-28" } } },
    { "github",
      "pat",
      "{\"base_url\":\"https://git.acme.com/api/v3\"}",
      "{\"token\":\"ghp_1\"}",
      NULL,
      "https://git.acme.com/api/v3",
      "git.acme.com",
      "/user",
      { { INJECT_HEADER, "Authorization", "Bearer ghp_1" } },
      { { "Accept", "application/vnd.github+json" }, { "X-GitHub-Api-Version", "2022-11-28" } } },
    { "stripe",
      "api_key",
      NULL,
      "{\"value\":\" rk_test_abc \"}",
      NULL,
      "https://api.stripe.com",
      "api.stripe.com",
      "/v1/balance",
      { { INJECT_HEADER, "Authorization", "Bearer rk_test_abc" } },
      { { NULL } } },
    { "stripe",
      "api_key",
      "{\"stripe_account\":\"acct_1\"}",
      "{\"api_key\":\"sk_test_abc\"}",
      NULL,
      "https://api.stripe.com",
      "api.stripe.com",
      "/v1/balance",
      { { INJECT_HEADER, "Authorization", "Bearer sk_test_abc" } },
      { { "Stripe-Account", "acct_1" } } },
    { "slack",
      "bearer",
      NULL,
      "{\"bot_token\":\"xoxb-1-2-a\"}",
      NULL,
      "https://slack.com/api",
      "slack.com",
      "/auth.test",
      { { INJECT_HEADER, "Authorization", "Bearer xoxb-1-2-a" } },
      { { NULL } } },
    { "openai",
      "bearer",
      "{\"organization\":\"org-1\"}",
      "{\"api_key\":\"sk-proj-a\"}",
      NULL,
      "https://api.openai.com/v1",
      "api.openai.com",
      "/models",
      { { INJECT_HEADER, "Authorization", "Bearer sk-proj-a" } },
      { { "OpenAI-Organization", "org-1" } } },
    { "http",
      "none",
      "{\"base_url\":\"https://api.acme.com\"}",
      NULL,
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      { { 0 } },
      { { NULL } } },
    { "http",
      "api_key",
      "{\"base_url\":\"https://api.acme.com/v2\",\"header\":\"X-Api-Key\",\"verify_path\":\"/me\"}",
      "{\"value\":\"abc\"}",
      "*.acme.com",
      "https://api.acme.com/v2",
      "*.acme.com",
      "/me",
      { { INJECT_HEADER, "X-Api-Key", "abc" } },
      { { NULL } } },
    { "http",
      "api_key",
      "{\"base_url\":\"https://api.acme.com\",\"query\":\"key\"}",
      "{\"value\":\"a b\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      { { INJECT_QUERY, "key", "a%20b" } },
      { { NULL } } },
    { "http",
      "basic",
      "{\"base_url\":\"https://api.acme.com\"}",
      "{\"username\":\"Aladdin\",\"password\":\"open sesame\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      { { INJECT_HEADER, "Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" } },
      { { NULL } } },
    { "http",
      "basic",
      "{\"base_url\":\"https://api.acme.com\"}",
      "{\"username\":\"key\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      { { INJECT_HEADER, "Authorization", "Basic a2V5Og==" } },
      { { NULL } } },
    { "http",
      "bearer",
      "{\"base_url\":\"https://api.acme.com\"}",
      "{\"token\":\"t\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      { { INJECT_HEADER, "Authorization", "Bearer t" } },
      { { NULL } } },
    { "http",
      "pat",
      "{\"base_url\":\"https://api.acme.com\",\"prefix\":\"Token\",\"expires_on\":\"2027-01-31\"}",
      "{\"token\":\"t\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      { { INJECT_HEADER, "Authorization", "Token t" } },
      { { NULL } } },
    { "http",
      "custom_fields",
      "{\"base_url\":\"https://api.acme.com\",\"headers\":{\"X-Key\":\"v1 "
      "{{credentials.k}}\"},\"query\":{\"s\":\"{{credentials.s}}\"},"
      "\"body\":{\"c\":\"{{credentials.k}}\"}}",
      "{\"k\":\"kk\",\"s\":\"s/s\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      { { INJECT_HEADER, "X-Key", "v1 kk" }, { INJECT_QUERY, "s", "s%2Fs" }, { INJECT_BODY, "c", "kk" } },
      { { NULL } } },
    { "zendesk",
      "oauth2_authorization_code",
      "{\"subdomain\":\"acme\"}",
      CLIENT,
      NULL,
      "https://acme.zendesk.com",
      "acme.zendesk.com",
      "/api/v2/users/me.json",
      BEARER,
      { { NULL } },
      "https://acme.zendesk.com/oauth/authorizations/new",
      "https://acme.zendesk.com/oauth/tokens",
      "read",
      NULL },
    { "zendesk",
      "oauth2_client_credentials",
      "{\"subdomain\":\"acme\"}",
      CLIENT,
      NULL,
      "https://acme.zendesk.com",
      "acme.zendesk.com",
      "/api/v2/users/me.json",
      BEARER,
      { { NULL } },
      "",
      "https://acme.zendesk.com/oauth/tokens",
      "read",
      "{\"grant_type\":\"client_credentials\",\"scope\":\"read\",\"client_secret\":\"se\",\"client_id\":\"id\"}" },
    { "github",
      "oauth2_authorization_code",
      NULL,
      CLIENT,
      NULL,
      "https://api.github.com",
      "api.github.com",
      "/user",
      BEARER,
      { { "Accept", "application/vnd.github+json" }, { "X-GitHub-Api-Version", "2022-11-28" } },
      "https://github.com/login/oauth/authorize",
      "https://github.com/login/oauth/access_token",
      "read:user",
      NULL },
    { "github",
      "oauth2_device_code",
      NULL,
      "{\"client_id\":\"id\"}",
      NULL,
      "https://api.github.com",
      "api.github.com",
      "/user",
      BEARER,
      { { "Accept", "application/vnd.github+json" }, { "X-GitHub-Api-Version", "2022-11-28" } },
      "",
      "https://github.com/login/oauth/access_token",
      "read:user",
      NULL },
    { "github",
      "github_app",
      "{\"app_id\":\"7\",\"installation_id\":\"12\"}",
      "{\"private_key\":\"@KEY@\"}",
      NULL,
      "https://api.github.com",
      "api.github.com",
      "/installation/repositories",
      BEARER,
      { { "Accept", "application/vnd.github+json" }, { "X-GitHub-Api-Version", "2022-11-28" } },
      "",
      "https://api.github.com/app/installations/12/access_tokens",
      "",
      "" },
    { "github",
      "github_app",
      "{\"base_url\":\"https://git.acme.com/api/v3\",\"app_id\":\"7\",\"installation_id\":\"../12\"}",
      "{\"private_key\":\"@KEY@\"}",
      NULL,
      "https://git.acme.com/api/v3",
      "git.acme.com",
      "/installation/repositories",
      BEARER,
      { { "Accept", "application/vnd.github+json" }, { "X-GitHub-Api-Version", "2022-11-28" } },
      "",
      "https://git.acme.com/api/v3/app/installations/..%2F12/access_tokens",
      "",
      "" },
    { "slack",
      "oauth2_authorization_code",
      "{\"team_id\":\"T01\"}",
      CLIENT,
      NULL,
      "https://slack.com/api",
      "slack.com",
      "/auth.test",
      BEARER,
      { { NULL } },
      "https://slack.com/oauth/v2/authorize",
      "https://slack.com/api/oauth.v2.access",
      "chat:write,channels:read",
      NULL },
    { "jira", "oauth2_authorization_code", "{\"site\":\"acme\",\"cloud_id\":\"11223344-a1b2-3b33-c444-def123456789\"}", CLIENT,
      NULL, "https://api.atlassian.com/ex/jira/11223344-a1b2-3b33-c444-def123456789", "api.atlassian.com", "/rest/api/3/myself",
      BEARER, JSON, "https://auth.atlassian.com/authorize", "https://auth.atlassian.com/oauth/token",
      "read:jira-work read:jira-user offline_access", NULL },
    { "jira", "oauth2_authorization_code", "{\"site\":\"acme\",\"cloud_id\":\"x/../../evil\"}", CLIENT, NULL,
      "https://api.atlassian.com/ex/jira/x%2F..%2F..%2Fevil", "api.atlassian.com", "/rest/api/3/myself", BEARER, JSON,
      "https://auth.atlassian.com/authorize", "https://auth.atlassian.com/oauth/token",
      "read:jira-work read:jira-user offline_access", NULL },
    { "jira",
      "basic",
      "{\"base_url\":\"https://Acme.atlassian.net/\",\"expires_on\":\"2027-01-31\"}",
      "{\"email\":\"joe@acme.com\",\"api_token\":\"ATATT1\"}",
      NULL,
      "https://acme.atlassian.net",
      "acme.atlassian.net",
      "/rest/api/3/myself",
      { { INJECT_HEADER, "Authorization", "Basic am9lQGFjbWUuY29tOkFUQVRUMQ==" } },
      JSON,
      NULL },
    { "servicenow", "oauth2_client_credentials", "{\"instance\":\"acme\"}", CLIENT, NULL, "https://acme.service-now.com",
      "acme.service-now.com", "/api/now/table/sys_user", BEARER, JSON, "", "https://acme.service-now.com/oauth_token.do", "",
      "grant_type=client_credentials&client_secret=se&client_id=id" },
    { "servicenow", "oauth2_authorization_code", "{\"instance_url\":\"https://acme.service-now.com\"}", CLIENT, NULL,
      "https://acme.service-now.com", "acme.service-now.com", "/api/now/table/sys_user", BEARER, JSON,
      "https://acme.service-now.com/oauth_auth.do", "https://acme.service-now.com/oauth_token.do", "useraccount", NULL },
    { "servicenow", "oauth2_jwt_bearer", "{\"instance\":\"acme\",\"user\":\"robot\"}",
      "{\"client_id\":\"id\",\"client_secret\":\"se\",\"private_key\":\"@KEY@\",\"kid\":\"k1\"}", NULL,
      "https://acme.service-now.com", "acme.service-now.com", "/api/now/table/sys_user", BEARER, JSON, "",
      "https://acme.service-now.com/oauth_token.do", "", "&client_secret=se&client_id=id" },
    { "servicenow", "oauth2_password", "{\"instance\":\"acme\"}",
      "{\"client_id\":\"id\",\"client_secret\":\"se\",\"username\":\"joe\",\"password\":\" p \"}", NULL,
      "https://acme.service-now.com", "acme.service-now.com", "/api/now/table/sys_user", BEARER, JSON, "",
      "https://acme.service-now.com/oauth_token.do", "",
      "grant_type=password&username=joe&password=%20p%20&client_secret=se&client_id=id" },
    { "servicenow",
      "basic",
      "{\"instance\":\"acme\"}",
      "{\"username\":\"joe\",\"password\":\"p\"}",
      NULL,
      "https://acme.service-now.com",
      "acme.service-now.com",
      "/api/now/table/sys_user",
      { { INJECT_HEADER, "Authorization", "Basic am9lOnA=" } },
      JSON,
      NULL },
    { "shopify",
      "oauth2_client_credentials",
      "{\"shop\":\"acme\"}",
      CLIENT,
      NULL,
      "https://acme.myshopify.com/admin/api/2025-07",
      "acme.myshopify.com",
      "/shop.json",
      { { INJECT_HEADER, "X-Shopify-Access-Token", "tok" } },
      { { NULL } },
      "",
      "https://acme.myshopify.com/admin/oauth/access_token",
      "",
      "grant_type=client_credentials&client_secret=se&client_id=id" },
    { "shopify",
      "oauth2_authorization_code",
      "{\"shop_domain\":\"acme.myshopify.com\",\"api_version\":\"2026-01\"}",
      CLIENT,
      NULL,
      "https://acme.myshopify.com/admin/api/2026-01",
      "acme.myshopify.com",
      "/shop.json",
      { { INJECT_HEADER, "X-Shopify-Access-Token", "tok" } },
      { { NULL } },
      "https://acme.myshopify.com/admin/oauth/authorize",
      "https://acme.myshopify.com/admin/oauth/access_token",
      "read_products",
      NULL },
    { "shopify",
      "api_key",
      "{\"shop\":\"acme\",\"api_version\":\"../../evil\"}",
      "{\"access_token\":\"shpat_1\"}",
      NULL,
      "https://acme.myshopify.com/admin/api/..%2F..%2Fevil",
      "acme.myshopify.com",
      "/shop.json",
      { { INJECT_HEADER, "X-Shopify-Access-Token", "shpat_1" } },
      { { NULL } },
      NULL },
    { "genesys-cloud",
      "oauth2_client_credentials",
      "{\"region\":\"mypurecloud.ie\"}",
      CLIENT,
      NULL,
      "https://api.mypurecloud.ie",
      "api.mypurecloud.ie",
      "/api/v2/organizations/me",
      BEARER,
      { { NULL } },
      "",
      "https://login.mypurecloud.ie/oauth/token",
      "",
      "grant_type=client_credentials" },
    { "genesys-cloud",
      "oauth2_authorization_code",
      "{\"region_host\":\"euw2.pure.cloud\"}",
      CLIENT,
      NULL,
      "https://api.euw2.pure.cloud",
      "api.euw2.pure.cloud",
      "/api/v2/users/me",
      BEARER,
      { { NULL } },
      "https://login.euw2.pure.cloud/oauth/authorize",
      "https://login.euw2.pure.cloud/oauth/token",
      "",
      NULL },
    { "salesforce",
      "oauth2_authorization_code",
      "{\"domain\":\"acme.my.salesforce.com\"}",
      CLIENT,
      NULL,
      "https://acme.my.salesforce.com",
      "acme.my.salesforce.com",
      "/services/data/v60.0/query",
      BEARER,
      { { NULL } },
      "https://login.salesforce.com/services/oauth2/authorize",
      "https://login.salesforce.com/services/oauth2/token",
      "api refresh_token",
      NULL },
    { "salesforce",
      "oauth2_client_credentials",
      "{\"instance_url\":\"https://Acme--Test.sandbox.my.salesforce.com/lightning\"}",
      CLIENT,
      NULL,
      "https://acme--test.sandbox.my.salesforce.com",
      "acme--test.sandbox.my.salesforce.com",
      "/services/data/v60.0/query",
      BEARER,
      { { NULL } },
      "",
      "https://acme--test.sandbox.my.salesforce.com/services/oauth2/token",
      "",
      "grant_type=client_credentials&client_secret=se&client_id=id" },
    { "salesforce",
      "oauth2_jwt_bearer",
      "{\"domain\":\"acme.my.salesforce.com\",\"login_url\":\"https://acme.my.salesforce.com\",\"username\":\"joe@acme.com\"}",
      "{\"client_id\":\"id\",\"private_key\":\"@KEY@\"}",
      NULL,
      "https://acme.my.salesforce.com",
      "acme.my.salesforce.com",
      "/services/data/v60.0/query",
      BEARER,
      { { NULL } },
      "",
      "https://acme.my.salesforce.com/services/oauth2/token",
      "",
      "&client_id=id" },
    { "salesforce",
      "oauth2_password",
      "{\"domain\":\"acme--t.sandbox.my.salesforce.com\",\"login_host\":\"test.salesforce.com\"}",
      "{\"client_id\":\"id\",\"client_secret\":\"se\",\"username\":\"joe\",\"password\":\"pass\",\"security_token\":\"WORD\"}",
      NULL,
      "https://acme--t.sandbox.my.salesforce.com",
      "acme--t.sandbox.my.salesforce.com",
      "/services/data/v60.0/query",
      BEARER,
      { { NULL } },
      "",
      "https://test.salesforce.com/services/oauth2/token",
      "",
      "&password=passWORD&" },
    { "microsoft-dynamics-365", "oauth2_client_credentials",
      "{\"organization_url\":\"https://acme.crm4.dynamics.com/main.aspx\",\"tenant\":\"acme.onmicrosoft.com\"}", CLIENT, NULL,
      "https://acme.crm4.dynamics.com", "acme.crm4.dynamics.com", "/api/data/v9.2/WhoAmI", BEARER, ODATA, "",
      "https://login.microsoftonline.com/acme.onmicrosoft.com/oauth2/v2.0/token", "https://acme.crm4.dynamics.com/.default",
      "&scope=https%3A%2F%2Facme.crm4.dynamics.com%2F.default&client_secret=se&client_id=id" },
    { "microsoft-dynamics-365", "oauth2_authorization_code", "{\"organization\":\"acme.crm.dynamics.com\"}", CLIENT, NULL,
      "https://acme.crm.dynamics.com", "acme.crm.dynamics.com", "/api/data/v9.2/WhoAmI", BEARER, ODATA,
      "https://login.microsoftonline.com/organizations/oauth2/v2.0/authorize",
      "https://login.microsoftonline.com/organizations/oauth2/v2.0/token",
      "https://acme.crm.dynamics.com/user_impersonation offline_access", NULL },
    { "microsoft-dynamics-365", "oauth2_password",
      "{\"organization\":\"acme.crm.microsoftdynamics.us\",\"login_host\":\"login.microsoftonline.us\",\"tenant\":\"t/../x\"}",
      "{\"username\":\"joe@acme.com\",\"password\":\"p\",\"application_id\":\"app\"}", NULL,
      "https://acme.crm.microsoftdynamics.us", "acme.crm.microsoftdynamics.us", "/api/data/v9.2/WhoAmI", BEARER, ODATA, "",
      "https://login.microsoftonline.us/t%2F..%2Fx/oauth2/v2.0/token",
      "https://acme.crm.microsoftdynamics.us/user_impersonation offline_access", "&client_id=app" },
    { "microsoft-graph",
      "oauth2_authorization_code",
      NULL,
      CLIENT,
      NULL,
      "https://graph.microsoft.com",
      "graph.microsoft.com",
      "/v1.0/me",
      BEARER,
      { { NULL } },
      "https://login.microsoftonline.com/organizations/oauth2/v2.0/authorize",
      "https://login.microsoftonline.com/organizations/oauth2/v2.0/token",
      "User.Read offline_access",
      NULL },
    { "microsoft-graph",
      "oauth2_client_credentials",
      "{\"tenant_id\":\"t1\",\"graph_host\":\"graph.microsoft.us\"}",
      CLIENT,
      NULL,
      "https://graph.microsoft.us",
      "graph.microsoft.us",
      "/v1.0/organization",
      BEARER,
      { { NULL } },
      "",
      "https://login.microsoftonline.com/t1/oauth2/v2.0/token",
      "https://graph.microsoft.us/.default",
      "grant_type=client_credentials&scope=https%3A%2F%2Fgraph.microsoft.us%2F.default" },
    { "microsoft-graph",
      "oauth2_device_code",
      NULL,
      "{\"client_id\":\"id\"}",
      NULL,
      "https://graph.microsoft.com",
      "graph.microsoft.com",
      "/v1.0/me",
      BEARER,
      { { NULL } },
      "",
      "https://login.microsoftonline.com/organizations/oauth2/v2.0/token",
      "User.Read offline_access",
      NULL },
    { "google-cloud",
      "google_service_account",
      "{\"service\":\"bigquery\",\"verify_path\":\"/bigquery/v2/projects\"}",
      "{\"key_json\":\"{\\\"client_email\\\":\\\"r@p.iam.gserviceaccount.com\\\",\\\"private_key\\\":\\\"@FILE@\\\"}\","
      "\"client_id\":\"123\"}",
      NULL,
      "https://bigquery.googleapis.com",
      "bigquery.googleapis.com",
      "/bigquery/v2/projects",
      BEARER,
      { { NULL } },
      "",
      "https://oauth2.googleapis.com/token",
      "https://www.googleapis.com/auth/cloud-platform",
      "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=" },
    { "google-cloud",
      "oauth2_authorization_code",
      NULL,
      CLIENT,
      NULL,
      "https://cloudresourcemanager.googleapis.com",
      "cloudresourcemanager.googleapis.com",
      "/v1/projects",
      BEARER,
      { { NULL } },
      "https://accounts.google.com/o/oauth2/v2/auth",
      "https://oauth2.googleapis.com/token",
      "https://www.googleapis.com/auth/cloud-platform",
      NULL },
    { "google-workspace",
      "google_service_account",
      "{\"impersonate\":\"ann@acme.com\"}",
      "{\"private_key\":\"@KEY@\",\"client_email\":\"r@p.iam.gserviceaccount.com\",\"private_key_id\":\"k1\"}",
      NULL,
      "https://admin.googleapis.com",
      "admin.googleapis.com",
      "/admin/directory/v1/users",
      BEARER,
      { { NULL } },
      "",
      "https://oauth2.googleapis.com/token",
      "https://www.googleapis.com/auth/admin.directory.user.readonly",
      "&assertion=" },
    { "google-workspace",
      "oauth2_authorization_code",
      "{\"base_url\":\"https://gmail.googleapis.com\"}",
      CLIENT,
      NULL,
      "https://gmail.googleapis.com",
      "gmail.googleapis.com",
      "/admin/directory/v1/users",
      BEARER,
      { { NULL } },
      "https://accounts.google.com/o/oauth2/v2/auth",
      "https://oauth2.googleapis.com/token",
      "https://www.googleapis.com/auth/admin.directory.user.readonly",
      NULL },
    { "http",
      "oauth2_client_credentials",
      "{\"base_url\":\"https://api.acme.com\",\"token_url\":\"https://login.acme.com/token\",\"audience\":\"a b\"}",
      CLIENT,
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      BEARER,
      { { NULL } },
      "",
      "https://login.acme.com/token",
      "",
      "grant_type=client_credentials&audience=a%20b" },
    { "http",
      "oauth2_authorization_code",
      "{\"base_url\":\"https://api.acme.com\",\"authorization_url\":\"https://login.acme.com/a\",\"token_url\":\"https://"
      "login.acme.com/t\"}",
      CLIENT,
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      BEARER,
      { { NULL } },
      "https://login.acme.com/a",
      "https://login.acme.com/t",
      "",
      NULL },
    { "http",
      "custom_oauth",
      "{\"base_url\":\"https://api.acme.com\",\"login_url\":\"https://api.acme.com/login\","
      "\"login_body\":\"{\\\"user\\\":\\\"{{credentials.user}}\\\"}\",\"login_values\":{\"access_token\":\"$.token\"},"
      "\"headers\":{\"X-Session\":\"s {{authResponse.access_token}} {{credentials.app}}\"}}",
      "{\"user\":\"joe\",\"app\":\"one\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      { { INJECT_HEADER, "X-Session", "s tok one" } },
      { { NULL } },
      NULL },
    { "http",
      "oauth2_jwt_bearer",
      "{\"base_url\":\"https://api.acme.com\",\"token_url\":\"https://login.acme.com/t\",\"subject\":\"joe@acme.com\"}",
      "{\"client_id\":\"id\",\"private_key\":\"@KEY@\",\"kid\":\"k1\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      BEARER,
      { { NULL } },
      "",
      "https://login.acme.com/t",
      "",
      "jwt-bearer&assertion=ey" },
    { "http",
      "oauth2_token_exchange",
      "{\"base_url\":\"https://api.acme.com\",\"token_url\":\"https://login.acme.com/t\",\"audience\":\"orders\"}",
      "{\"client_id\":\"id\",\"subject_token\":\"st\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      BEARER,
      { { NULL } },
      "",
      "https://login.acme.com/t",
      "",
      "token-exchange&subject_token=st&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token&audience="
      "orders" },
    { "http",
      "oauth2_device_code",
      "{\"base_url\":\"https://api.acme.com\",\"device_url\":\"https://login.acme.com/d\",\"token_url\":\"https://login.acme.com/"
      "t\"}",
      "{\"client_id\":\"id\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      BEARER,
      { { NULL } },
      "",
      "https://login.acme.com/t",
      "",
      NULL },
    { "http",
      "oauth2_password",
      "{\"base_url\":\"https://api.acme.com\",\"token_url\":\"https://login.acme.com/t\"}",
      "{\"client_id\":\"id\",\"username\":\"joe\",\"password\":\"p\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      BEARER,
      { { NULL } },
      "",
      "https://login.acme.com/t",
      "",
      "grant_type=password&username=joe&password=p&client_id=id" },
    { "http",
      "aws_sigv4",
      "{\"base_url\":\"https://lambda.eu-west-3.amazonaws.com\",\"region\":\"eu-west-3\",\"service\":\"lambda\"}",
      "{\"access_key\":\"ASIAEXAMPLE\",\"secret_key\":\"wJalr/+=\",\"session_token\":\"IQoJ\"}",
      NULL,
      "https://lambda.eu-west-3.amazonaws.com",
      "lambda.eu-west-3.amazonaws.com",
      "",
      { { INJECT_SIGNED, "Authorization", "" },
        { INJECT_SIGNED, "X-Amz-Date", "" },
        { INJECT_SIGNED, "X-Amz-Content-Sha256", "" },
        { INJECT_HEADER, "X-Amz-Security-Token", "IQoJ" } },
      { { NULL } } },
    { "http",
      "aws_assume_role",
      "{\"base_url\":\"https://lambda.eu-west-3.amazonaws.com\",\"region\":\"eu-west-3\",\"service\":\"lambda\","
      "\"role_arn\":\"arn:aws:iam::123456789012:role/raccord\"}",
      "{\"access_key_id\":\"AKIAEXAMPLE\",\"secret_access_key\":\"wJalr/+=\"}",
      NULL,
      "https://lambda.eu-west-3.amazonaws.com",
      "lambda.eu-west-3.amazonaws.com",
      "",
      { { INJECT_SIGNED, "Authorization", "" },
        { INJECT_SIGNED, "X-Amz-Date", "" },
        { INJECT_SIGNED, "X-Amz-Content-Sha256", "" },
        { INJECT_SIGNED, "X-Amz-Security-Token", "" } },
      { { NULL } } },
    { "http",
      "digest",
      "{\"base_url\":\"https://camera.acme.com\"}",
      "{\"login\":\"joe\",\"password\":\" p \"}",
      NULL,
      "https://camera.acme.com",
      "camera.acme.com",
      "",
      { { INJECT_SIGNED, "Authorization", "" } },
      { { NULL } } },
    { "http",
      "oauth1",
      "{\"base_url\":\"https://1234567-sb1.suitetalk.api.netsuite.com\",\"realm\":\"1234567_SB1\"}",
      "{\"consumer_key\":\"ck\",\"consumer_secret\":\"cs\",\"token_id\":\"tk\",\"token_secret\":\"ts\"}",
      NULL,
      "https://1234567-sb1.suitetalk.api.netsuite.com",
      "1234567-sb1.suitetalk.api.netsuite.com",
      "",
      { { INJECT_SIGNED, "Authorization", "" } },
      { { NULL } } },
    { "http",
      "hmac",
      "{\"base_url\":\"https://api.acme.com\",\"signed\":\"{{timestamp}}{{method}}{{target}}{{body}}\",\"header\":\"X-Sign\","
      "\"timestamp_header\":\"X-Time\",\"key_header\":\"X-Key\"}",
      "{\"secret\":\"s\",\"key_id\":\"k1\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      { { INJECT_SIGNED, "X-Sign", "" }, { INJECT_SIGNED, "X-Time", "" }, { INJECT_HEADER, "X-Key", "k1" } },
      { { NULL } } },
    { "aws-lambda",
      "aws_sigv4",
      "{\"region\":\"eu-west-3\"}",
      "{\"access_key\":\"AKIAEXAMPLE\",\"secret_key\":\"wJalr/+=\"}",
      NULL,
      "https://lambda.eu-west-3.amazonaws.com",
      "lambda.eu-west-3.amazonaws.com",
      "/2015-03-31/functions/",
      { { INJECT_SIGNED, "Authorization", "" },
        { INJECT_SIGNED, "X-Amz-Date", "" },
        { INJECT_SIGNED, "X-Amz-Content-Sha256", "" },
        { INJECT_SIGNED, "X-Amz-Security-Token", "" } },
      { { NULL } } },
    { "aws-lambda",
      "aws_assume_role",
      "{\"region\":\"eu-west-3\",\"role_arn\":\"arn:aws:iam::123456789012:role/raccord\"}",
      "{\"access_key_id\":\"AKIAEXAMPLE\",\"secret_access_key\":\"wJalr/+=\"}",
      NULL,
      "https://lambda.eu-west-3.amazonaws.com",
      "lambda.eu-west-3.amazonaws.com",
      "/2015-03-31/functions/",
      { { INJECT_SIGNED, "Authorization", "" },
        { INJECT_SIGNED, "X-Amz-Date", "" },
        { INJECT_SIGNED, "X-Amz-Content-Sha256", "" },
        { INJECT_SIGNED, "X-Amz-Security-Token", "" } },
      { { NULL } } },
};

static void expect_text(const char *what, const struct example *x, struct str is, const char *wanted)
{
    if (!str_is(is, wanted))
        fail_msg("%s %s: %s is “%.*s”, wanted “%s”", x->connector, x->auth, what, STR_ARG(is), wanted);
}

/* ---- keys: "@KEY@" as a PEM file in JSON, "@FILE@" as one inside a key file inside JSON ---- */

static char *pem;

static int make_key(void **state)
{
    (void)state;
    EVP_PKEY *key = EVP_RSA_gen(2048);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    assert_true(key && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
    long n = BIO_get_mem_data(bio, &text);
    pem = strndup(text, (size_t)n);
    BIO_free(bio);
    EVP_PKEY_free(key);
    return 0;
}

static int drop_key(void **state)
{
    (void)state;
    free(pem);
    return 0;
}

static struct str with_key(struct arena *a, const char *text, const char *mark, struct str line_end)
{
    struct str before, after, line, lines = str_of(pem);
    size_t at = text ? str_find_str(str_of(text), str_of(mark)) : SIZE_MAX;
    if (at == SIZE_MAX)
        return str_of(text);
    before = str_sub(str_of(text), 0, at);
    after = str_sub(str_of(text), at + strlen(mark), strlen(text));
    while (str_piece(&lines, '\n', &line))
        before = arena_join(a, arena_join(a, before, line), line_end);
    return arena_join(a, before, after);
}

static const struct json *credentials_of(struct trial *t, const struct example *x)
{
    struct str text = with_key(t->a, x->credentials, "@KEY@", STR("\\n"));
    text = with_key(t->a, text.p ? arena_cstr(t->a, text) : NULL, "@FILE@", STR("\\\\n"));
    return trial_json(t, text.p ? arena_cstr(t->a, text) : NULL);
}

/* ---- one example ---- */

static void ask_for_a_token(struct trial *t, const struct example *x, const struct oauth_profile *p)
{
    const struct obtain *how = obtain_find(str_of(x->auth));
    struct obtain_input q = { .in = &t->in, .profile = p, .nonce = STR(""), .now = 1700000000000 };
    struct token_request r;
    assert_non_null(how);
    assert_int_equal(how->by_person, x->sent == NULL);
    if (how->by_person)
        return;
    if (how->build(t->a, &q, &r, &t->why))
        fail_msg("%s %s: no token request, at %s: %s", x->connector, x->auth, t->why.pointer, t->why.subject);
    expect_text("where the token is asked for", x, r.http.url, x->token);
    if (str_find_str(r.http.body, str_of(x->sent)) == SIZE_MAX)
        fail_msg("%s %s: sends “%.*s”, wanted “%s” in it", x->connector, x->auth, STR_ARG(r.http.body), x->sent);
    if (str_is(str_of(x->auth), "google_service_account"))
        assert_int_equal(str_find_str(r.http.body, STR("client_id")), SIZE_MAX);
    token_request_end(&r);
}

static void hold_oauth(struct trial *t, const struct example *x)
{
    struct oauth_profile p;
    if (oauth_profile_load(NULL, NULL, t->a, &t->in, STR_NONE, &p, &t->why))
        fail_msg("%s %s: no profile, at %s: %s", x->connector, x->auth, t->why.pointer, t->why.subject);
    expect_text("authorization URL", x, p.authorization_url, x->authorization);
    expect_text("token URL", x, p.token_url, x->token);
    expect_text("scopes", x, oauth_profile_scope(t->a, &p), x->scopes);
    ask_for_a_token(t, x, &p);
    oauth_profile_end(&p);
}

static void try_example(const struct catalog *catalog, const struct example *x)
{
    struct trial *t = trial_new(x->auth, NULL, NULL);
    AUTO_SECRET token = secret_from(STR("tok"));
    const struct auth_secret granted[] = { { STR("access_token"), token },
                                           { STR("role_access_key_id"), token },
                                           { STR("role_secret_access_key"), token } };
    struct setup s;
    if (setup_check(t->a, catalog_find(catalog, str_of(x->connector)), str_of(x->auth), trial_json(t, x->fields),
                    credentials_of(t, x), str_of(x->domain), NULL, false, &s, &t->why))
        fail_msg("%s %s: refused at %s: %s", x->connector, x->auth, t->why.pointer, t->why.subject);
    assert_true(s.has_credentials);
    expect_text("base URL", x, s.base_url, x->base_url);
    expect_text("allowed domain", x, s.allowed_domain, x->allowed);
    expect_text("verify path", x, s.target.verify_path, x->verify);

    t->in.options = s.auth->options;
    t->in.fields = s.fields_json;
    t->in.granted = granted;
    t->in.granted_count = COUNT(granted);
    for (size_t i = 0; i < s.secret_count; i++)
        t->secrets[t->in.secret_count++] = (struct auth_secret){ s.secrets[i].name, secret_copy(s.secrets[i].value) };
    setup_end(&s);
    if (trial_check(t))
        fail_msg("%s %s: auth refuses at %s: %s", x->connector, x->auth, t->why.pointer, t->why.subject);
    assert_int_equal(t->method->prepare(t->a, &t->in, &t->out, &t->why), ERR_NONE);
    size_t n = 0;
    for (; n < COUNT(x->injected) && x->injected[n].name; n++)
        trial_expect(t, n, x->injected[n].where, x->injected[n].name, str_of(x->injected[n].value));
    assert_int_equal(t->out.count, n);

    for (n = 0; n < COUNT(x->headers) && x->headers[n][0]; n++) {
        expect_text("header", x, s.target.headers[n][0], x->headers[n][0]);
        expect_text("header value", x, s.target.headers[n][1], x->headers[n][1]);
    }
    assert_int_equal(s.target.header_count, n);
    if (x->token)
        hold_oauth(t, x);
    trial_end(t);
}

static struct catalog *built_in(struct arena *a)
{
    struct catalog *c = NULL;
    struct fault why = { 0 };
    assert_int_equal(catalog_load(a, STR_NONE, &c, &why), ERR_NONE);
    return c;
}

static void each_connector_set_up_by_example_sends_exactly_these_bytes(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(65536);
    struct catalog *c = built_in(a);
    for (size_t i = 0; i < COUNT(examples); i++)
        try_example(c, &examples[i]);
}

static void every_auth_type_of_every_connector_has_an_example(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(65536);
    struct catalog *c = built_in(a);
    for (size_t i = 0; i < catalog_count(c); i++)
        for (size_t m = 0; m < catalog_at(c, i)->auth_count; m++) {
            bool found = false;
            for (size_t x = 0; x < COUNT(examples); x++)
                found = found || (str_is(catalog_at(c, i)->id, examples[x].connector) &&
                                  str_is(catalog_at(c, i)->auth[m].type, examples[x].auth));
            if (!found)
                fail_msg("%.*s %.*s has none", STR_ARG(catalog_at(c, i)->id), STR_ARG(catalog_at(c, i)->auth[m].type));
        }
}

static bool takes(const struct auth_method *method, struct str name)
{
    for (size_t n = 0; method->fields && method->fields[n].name; n++)
        if (str_is(name, method->fields[n].name))
            return true;
    return false;
}

static bool offers(const struct connector_auth *auth, const char *name)
{
    for (size_t n = 0; n < auth->credential_count; n++)
        if (str_is(auth->credentials[n].key, name))
            return true;
    return false;
}

/* catalog/ does not know auth/: here the two are held against each other. */
static void every_connector_offers_only_methods_that_exist_with_the_credentials_they_take(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(65536);
    struct catalog *c = built_in(a);
    for (size_t i = 0; i < catalog_count(c); i++)
        for (size_t m = 0; m < catalog_at(c, i)->auth_count; m++) {
            const struct connector_auth *offered = &catalog_at(c, i)->auth[m];
            const struct auth_method *method = auth_find(offered->type);
            if (!method)
                fail_msg("%.*s offers %.*s", STR_ARG(catalog_at(c, i)->id), STR_ARG(offered->type));
            assert_int_equal(method->open_fields, offered->open_credentials);
            if (method->open_fields)
                continue;
            for (size_t n = 0; n < offered->credential_count; n++)
                if (!takes(method, offered->credentials[n].key))
                    fail_msg("%.*s %.*s offers “%.*s”", STR_ARG(catalog_at(c, i)->id), STR_ARG(offered->type),
                             STR_ARG(offered->credentials[n].key));
            for (size_t n = 0; method->fields && method->fields[n].name; n++)
                if (method->fields[n].required && !offers(offered, method->fields[n].name))
                    fail_msg("%.*s %.*s lacks “%s”", STR_ARG(catalog_at(c, i)->id), STR_ARG(offered->type), method->fields[n].name);
        }
}

/* ---- what would lead elsewhere ---- */

static const struct {
    const char *connector, *auth, *field, *also; /* also: other fields that have to be there, with a comma behind */
} deciders[] = {
    { "zendesk", "oauth2_authorization_code", "subdomain", "" },
    { "jira", "basic", "site", "" },
    { "servicenow", "oauth2_client_credentials", "instance", "" },
    { "shopify", "oauth2_authorization_code", "shop", "" },
    { "google-cloud", "google_service_account", "service", "" },
    { "google-workspace", "google_service_account", "service", "" },
    { "salesforce", "oauth2_authorization_code", "domain", "" },
    { "salesforce", "oauth2_authorization_code", "login_host", "\"domain\":\"acme.my.salesforce.com\"," },
    { "microsoft-dynamics-365", "oauth2_client_credentials", "organization", "\"tenant\":\"t\"," },
    { "microsoft-dynamics-365", "oauth2_client_credentials", "login_host",
      "\"organization\":\"acme.crm.dynamics.com\",\"tenant\":\"t\"," },
    { "microsoft-graph", "oauth2_authorization_code", "graph_host", "" },
    { "microsoft-graph", "oauth2_authorization_code", "login_host", "" },
    { "genesys-cloud", "oauth2_client_credentials", "region", "" },
    { "aws-lambda", "aws_sigv4", "region", "" },
};

static void no_field_that_decides_where_a_credential_goes_leads_anywhere_else(void **state)
{
    static const char *const elsewhere[] = {
        "evil.example",
        "https://evil.example",
        "evil.example/",
        "evil.example#",
        "evil.example?x=",
        "evil.example\\\\",
        "evil.example:443",
        "joe@evil.example",
        "127.0.0.1",
        "https://[::1]/",
        "%65vil.example",
        "acme.zendesk.com.evil.example",
        "acme.my.salesforce.com.evil.example",
        "evilsalesforce.com",
        "https://acme.my.salesforce.com@evil.example",
        "https://evil.example/acme.my.salesforce.com",
        "acme.dynamics.com.evil.example",
        "https://evildynamics.com",
        "login.microsoftonline.com.evil.example",
        "mypurecloud.com.evil.example",
        "googleapis.com.evil.example",
        "evil.example.",
        "a..b",
    };
    (void)state;
    AUTO_ARENA a = arena_new(65536);
    struct catalog *c = built_in(a);
    for (size_t d = 0; d < COUNT(deciders); d++)
        for (size_t i = 0; i < COUNT(elsewhere); i++) {
            struct trial *t = trial_new(deciders[d].auth, NULL, NULL);
            struct str text = str_fmt(t->a, "{%s\"%s\":\"%s\"}", deciders[d].also, deciders[d].field, elsewhere[i]);
            struct str at = str_fmt(t->a, "/fields/%s", deciders[d].field);
            struct setup s;
            if (!setup_check(t->a, catalog_find(c, str_of(deciders[d].connector)), str_of(deciders[d].auth), trial_json(t, text.p),
                             NULL, STR_NONE, NULL, false, &s, &t->why) ||
                !str_eq(str_of(t->why.pointer), at))
                fail_msg("%s %s: “%s” is not refused there (%s %s)", deciders[d].connector, deciders[d].field, elsewhere[i],
                         t->why.pointer, t->why.subject);
            trial_end(t);
        }
}

/* Every field that stands in the host of a base URL or of an OAuth URL is among those above, or of type url. */
static bool held(struct str connector, struct str field)
{
    for (size_t d = 0; d < COUNT(deciders); d++)
        if (str_is(connector, deciders[d].connector) && str_is(field, deciders[d].field))
            return true;
    return false;
}

static void every_field_with_a_host_of_its_own_is_tried(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(65536);
    struct catalog *c = built_in(a);
    for (size_t i = 0; i < catalog_count(c); i++)
        for (size_t f = 0; f < catalog_at(c, i)->field_count; f++) {
            const struct connector_field *field = &catalog_at(c, i)->fields[f];
            if ((field->host_suffix.n || field->type == FIELD_HOST) && !held(catalog_at(c, i)->id, field->key))
                fail_msg("%.*s %.*s is not", STR_ARG(catalog_at(c, i)->id), STR_ARG(field->key));
            assert_true(field->type != FIELD_HOST || field->hosts[0].n);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_connector_set_up_by_example_sends_exactly_these_bytes),
        cmocka_unit_test(every_auth_type_of_every_connector_has_an_example),
        cmocka_unit_test(every_connector_offers_only_methods_that_exist_with_the_credentials_they_take),
        cmocka_unit_test(no_field_that_decides_where_a_credential_goes_leads_anywhere_else),
        cmocka_unit_test(every_field_with_a_host_of_its_own_is_tried),
    };
    return cmocka_run_group_tests_name("auth/built_in", tests, make_key, drop_key);
}
