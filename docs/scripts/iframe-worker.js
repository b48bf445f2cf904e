// Browsers start no worker from a page that is opened as a file. The theme's search needs one; here it gets a hidden
// frame in its place. The theme takes it by the name IFrameWorker. On a server nothing of this is used.
class IFrameWorker extends EventTarget {
  constructor(address) {
    super()
    this.waiting = []  // sent before the frame's script runs
    this.frame = document.createElement("iframe")
    this.frame.hidden = true
    document.body.appendChild(this.frame)
    this.frame.addEventListener("load", () => this.begin())
    const inside = this.frame.contentWindow.document
    inside.open()
    inside.write(`<script>
      const main = parent
      globalThis.postMessage = data => main.postMessage(data, "*")
      globalThis.importScripts = () => undefined
    <\/script><script src="${address}"><\/script>`)
    inside.close()
    window.addEventListener("message", event => {
      if (event.source !== this.frame.contentWindow) return
      this.dispatchEvent(new MessageEvent("message", { data: event.data }))
    })
  }

  begin() {
    const waiting = this.waiting
    this.waiting = null
    for (const data of waiting) this.postMessage(data)
  }

  postMessage(data) {
    if (this.waiting) this.waiting.push(data)
    // As an event: the frame's own postMessage now speaks to this page.
    else this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }))
  }

  terminate() {
    this.frame.remove()
  }
}

if (location.protocol === "file:") {
  window.IFrameWorker = IFrameWorker
  window.Worker = IFrameWorker
}
