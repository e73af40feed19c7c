// Beside htmx: pictures that are dropped or pasted, a preview of them, and picks on the map without a new page.
(() => {
  "use strict";
  const images = ["image/png", "image/jpeg", "image/webp"];

  const take = (input, files) => {
    const picture = [...files].find((file) => images.includes(file.type));
    if (!picture) return false;
    const chosen = new DataTransfer();
    chosen.items.add(picture);
    input.files = chosen.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  };

  document.addEventListener("change", (event) => {
    const input = event.target;
    if (!(input instanceof HTMLInputElement) || input.type !== "file") return;
    const drop = input.closest(".drop");
    const preview = drop.querySelector(".preview");
    const told = drop.querySelector(".told");
    if (preview.src.startsWith("blob:")) URL.revokeObjectURL(preview.src);
    const file = input.files[0];
    told.dataset.first ??= told.textContent;
    told.textContent = file ? file.name : told.dataset.first;
    preview.hidden = !file;
    drop.classList.toggle("full", Boolean(file));
    if (file) preview.src = URL.createObjectURL(file);
    if (file && input.form.matches(".ask")) input.form.requestSubmit();
  });

  // A whole form is a place to drop on; elsewhere on the page nothing happens, above all no file is opened.
  for (const kind of ["dragover", "drop"]) {
    document.addEventListener(kind, (event) => {
      if (!event.dataTransfer || ![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      const drop = document.querySelector(".drop");
      if (!drop) return;
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop") take(drop.querySelector("input"), event.dataTransfer.files);
    });
  }
  document.addEventListener("dragleave", () => document.querySelector(".drop.over")?.classList.remove("over"));
  document.addEventListener("paste", (event) => {
    const input = document.querySelector(".drop input");
    if (input && take(input, event.clipboardData?.files ?? [])) event.preventDefault();
  });

  // Options of the search count at once.
  document.addEventListener("change", (event) => {
    if (event.target.closest?.(".ask .options")) event.target.form.requestSubmit();
  });

  // A glance at what the pointer is over on the map.
  const glance = document.createElement("div");
  glance.className = "glance";
  glance.setAttribute("aria-hidden", "true");
  glance.append(document.createElement("img"), document.createElement("span"));
  document.addEventListener("pointerover", (event) => {
    const place = event.target.closest?.(".map a");
    if (!place || event.pointerType === "touch") return glance.remove();
    const item = new URL(place.getAttribute("href"), location.href).searchParams.get("item");
    const [picture, name] = glance.children;
    picture.hidden = !place.dataset.picture;
    picture.src = place.dataset.picture ? `/page/picture?item=${encodeURIComponent(item)}` : "";
    name.textContent = place.dataset.name;
    const box = place.getBoundingClientRect();
    document.body.append(glance);
    const left = Math.min(Math.max(box.left + box.width / 2 - 64, 8), document.documentElement.clientWidth - 136);
    glance.style.left = `${left + scrollX}px`;
    glance.style.top = `${(box.top > 190 ? box.top - glance.offsetHeight - 8 : box.bottom + 8) + scrollY}px`;
  });

  // The map, its list and the bits change their part of the page only.
  document.addEventListener("click", (event) => {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const link = event.target.closest?.(".atlas a[href^='/inside'], .balance a, ul.small a");
    if (!link) return;
    event.preventDefault();
    const url = link.getAttribute("href") ?? "";
    const part = link.closest(".balance") ? "#bit" : "#main";
    window.htmx.ajax("GET", url, { target: part, select: part, swap: "outerHTML", push: url.split("#")[0] });
  });
})();
