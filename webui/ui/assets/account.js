// Who is logged in, the way out, and what the role leaves of the page. The server decides all of it by itself.
"use strict";

(() => {
  const { one, onAppear, t, ask, toast } = emulsion;
  const ROLES = {
    administrator: "account.administrator",
    user: "account.user",
    "read-only": "account.read_only",
  };
  let me = null;

  function show() {
    const box = one("#em-account");
    if (!me || !box) return;
    document.body.dataset.role = me.role;
    box.hidden = !me.name;
    one("#em-account-name").textContent = me.name ?? "";
    one("#em-account-name").title = t(ROLES[me.role]);
    box.action = new URL("logout", document.baseURI).href;
  }

  onAppear("#em-account", async () => {
    me ??= await ask("me").catch(() => null);
    show();
  });
  document.addEventListener("emulsion:language", show);

  // The login ended while the page was open: said once, not for every question that goes unanswered.
  let told = false;
  document.addEventListener("emulsion:over", () => {
    if (told) return;
    told = true;
    toast([t("account.over")], { bad: true, action: t("account.login"), act: () => location.reload() });
  });
})();
