"use strict";

const words = {
  en: {
    title: "Choose your password",
    intro: "Somebody gave you this link so that only you know your password. It works once.",
    code: "Code of the link",
    codeHint: "The part after # of the link that you were given.",
    send: "Set the password",
    sending: "Setting the password…",
    codeMissing: "Enter the code of the link.",
    doneTitle: "Your password is set",
    doneIntro: "Sign in from now on as",
  },
  fr: {
    title: "Choisissez votre mot de passe",
    intro: "Ce lien vous a été donné pour que vous seul connaissiez votre mot de passe. Il ne sert qu'une fois.",
    code: "Code du lien",
    codeHint: "La partie après # du lien que vous avez reçu.",
    send: "Définir le mot de passe",
    sending: "Enregistrement du mot de passe…",
    codeMissing: "Saisissez le code du lien.",
    doneTitle: "Votre mot de passe est défini",
    doneIntro: "Connectez-vous désormais en tant que",
  },
};

begin({
  words,
  fields: ["password", "code"],
  check: () => null,
  async send() {
    const user = await ask("POST", "api/v1/invitations:accept", { code: byId("code").value.trim(), password: byId("password").value, language },
      { credentials: "omit" });
    finish();
    byId("email").textContent = user.email;
  },
});
byId("password").focus();
