"use strict";

const words = {
  en: {
    title: "Welcome to Raccord",
    intro: "Make the owner's account. The link that brought you here works once.",
    code: "Setup code",
    codeHint: "The part after # of the link that the server printed when it started.",
    email: "E-mail address",
    language: "Language of messages",
    send: "Create the account",
    sending: "Creating the account…",
    emailMissing: "Enter your e-mail address, as name@example.com.",
    codeMissing: "Enter the setup code.",
    doneTitle: "The owner's account is ready",
    doneIntro: "Keep the password safe: it opens everything.",
    tokenTitle: "Next: a token for your programs",
    tokenIntro: "Programs call Raccord with a token. This makes one with the administrator's role, valid for 30 days.",
    tokenMake: "Create a token",
    tokenOnce: "Your token. Copy it now: it is shown once.",
    copy: "Copy",
    copied: "Copied",
    curlIntro: "See what can be connected:",
    cliIntro: "Or make a token on the server, with its data directory:",
  },
  fr: {
    title: "Bienvenue dans Raccord",
    intro: "Créez le compte du propriétaire. Le lien qui vous a mené ici ne sert qu'une fois.",
    code: "Code d'installation",
    codeHint: "La partie après # du lien que le serveur a affiché au démarrage.",
    email: "Adresse e-mail",
    language: "Langue des messages",
    send: "Créer le compte",
    sending: "Création du compte…",
    emailMissing: "Saisissez votre adresse e-mail, comme nom@example.com.",
    codeMissing: "Saisissez le code d'installation.",
    doneTitle: "Le compte du propriétaire est prêt",
    doneIntro: "Gardez bien le mot de passe : il ouvre tout.",
    tokenTitle: "Ensuite : un jeton pour vos programmes",
    tokenIntro: "Les programmes appellent Raccord avec un jeton. Celui-ci aura le rôle d'administrateur et vaudra 30 jours.",
    tokenMake: "Créer un jeton",
    tokenOnce: "Votre jeton. Copiez-le maintenant : il n'est montré qu'une fois.",
    copy: "Copier",
    copied: "Copié",
    curlIntro: "Voir ce qui peut être connecté :",
    cliIntro: "Ou créez un jeton sur le serveur, avec son répertoire de données :",
  },
};

let csrf = null;
let token = "rcd_…";

async function makeToken() {
  byId("make-token").disabled = true;
  byId("token-problem").textContent = "";
  try {
    token = (await ask("POST", "api/v1/tokens", { name: "first", role: "admin", expires_in: "30d" }, { csrf })).secret;
    byId("token").textContent = token;
    byId("token-row").hidden = false;
    byId("make-token").hidden = true;
    speak(language);
  } catch (problem) {
    byId("token-problem").textContent = problem.detail || say("unreachable");
    byId("make-token").disabled = false;
  }
}

byId("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(token).then(() => { byId("copy").textContent = say("copied"); }, () => getSelection().selectAllChildren(byId("token")));
});
byId("make-token").addEventListener("click", makeToken);

begin({
  words,
  fields: ["email", "password", "code"],
  check: () => (byId("email").value.trim() && byId("email").checkValidity() ? null : ["emailMissing", "email"]),
  async send() {
    const account = { email: byId("email").value.trim(), password: byId("password").value };
    await ask("POST", "api/v1/setup", { code: byId("code").value.trim(), language: byId("language").value, ...account });
    byId("make-token").disabled = true; // until there is a session that can
    finish();
    csrf = (await ask("POST", "api/v1/session", account)).csrf_token;
    byId("make-token").disabled = false;
  },
  spoken(next) {
    byId("language").value = next;
    byId("curl").textContent = `curl -H 'Authorization: Bearer ${token}' ${base}api/v1/connectors`;
  },
});
byId("email").focus();
