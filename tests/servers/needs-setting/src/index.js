#!/usr/bin/env node
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";

const key = process.env.NOTES_API_KEY;
if (!key) {
  console.error("Error: the environment variable NOTES_API_KEY is required");
  process.exit(1);
}

const server = new McpServer({ name: "toolman-notes", version: "1.0.0" });

server.registerTool("key_length", { description: "Tell how long the configured key is" }, () => ({
  content: [{ type: "text", text: String(key.length) }],
}));

await server.connect(new StdioServerTransport());
