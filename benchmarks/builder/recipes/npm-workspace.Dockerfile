FROM {node}
WORKDIR /app
COPY . .
RUN npm ci --ignore-scripts --workspace {path} \
 && npm run build --workspace {path} --if-present \
 && npm prune --omit=dev --ignore-scripts --workspace {path} \
 && rm -rf /root/.npm
