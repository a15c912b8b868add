// The page of clusters in JupyterLab's side bar and as a tab of Jupyter Notebook.
//
// Written by hand as the container that JupyterLab loads (webpack's module federation: init gets
// the modules that all share, get returns a factory), so that nothing has to be built.
"use strict";
(() => {
  let shared = {};

  // The module of that name that the application has loaded, or undefined.
  async function module(name) {
    const [version] = Object.values(shared[name] || {});
    return version && (await version.get())();
  }

  function makePanel(Widget, baseUrl) {
    const frame = document.createElement("iframe");
    frame.src = `${baseUrl}ipyfleet`;
    frame.title = "IPython Clusters";
    frame.style.cssText = "width: 100%; height: 100%; border: 0";
    const panel = new Widget();
    panel.node.append(frame);
    panel.id = "ipyfleet-clusters";
    panel.title.label = "IPython Clusters";
    panel.title.caption = "IPython Clusters";
    panel.title.closable = false;
    return panel;
  }

  // "#clusters" and "#ipyclusters" were the addresses of the tab in older notebooks.
  const asked = () => ["#clusters", "#ipyclusters"].includes(window.location.hash);

  async function extension() {
    const { Widget } = await module("@lumino/widgets");
    const { PageConfig } = await module("@jupyterlab/coreutils");
    const notebookTree = await module("@jupyter-notebook/tree");
    const tokens = notebookTree ? [notebookTree.INotebookTree] : [];
    return {
      id: "ipyfleet:clusters",
      description: "Starts and stops IPython clusters.",
      autoStart: true,
      optional: tokens,
      activate: (app, tree) => {
        const panel = makePanel(Widget, PageConfig.getBaseUrl());
        if (tree) {
          tree.addWidget(panel);
          tree.tabBar.addTab(panel.title);
          if (asked()) tree.currentWidget = panel;
        } else if (!notebookTree) {
          app.shell.add(panel, "left", { rank: 650, type: "IPython Clusters" });
          if (asked()) app.restored.then(() => app.shell.activateById(panel.id));
        }
      },
    };
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB.ipyfleet = {
    init: (scope) => {
      shared = scope;
    },
    get: async () => {
      const plugin = await extension();
      return () => ({ __esModule: true, default: plugin });
    },
  };
})();
